"""HiFT vocoder network (HiFTNet, https://arxiv.org/abs/2309.09493; reference: CausalHiFTGenerator).

B batch, T mel frames, S samples, F STFT frames, M mel bands, C channels, K STFT bins. Every convolution is causal but
conv_pre, which sees `lookahead` mel frames to the right. Always float32: in half precision exp of the log magnitude
overflows.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from cosy_jax.config import VocoderConfig
from cosy_jax.nn.layers import Conv1d, length_mask
from cosy_jax.nn.precision import FLOAT32, FLOAT64, Precision
from cosy_jax.vocoder.snake import Snake
from cosy_jax.vocoder.source import F0Predictor, Source, SourcePast, harmonic_cycles
from cosy_jax.vocoder.stft import istft, stft
from cosy_jax.vocoder.upsampling import Upsampling

_MAX_MAGNITUDE = 100.0
_LARGEST_LOG = 80.0  # of which exp is finite


class ResBlock(nn.Module):
    """Residual pairs of a dilated and a plain convolution, each after a Snake."""

    kernel_size: int
    dilations: tuple[int, ...]
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = functools.partial(Conv1d, x.shape[-1], self.kernel_size, precision=self.precision)
        for index, dilation in enumerate(self.dilations):
            h = Snake(name=f"snake1_{index}")(x)
            h = conv(dilation=dilation, name=f"conv1_{index}")(h)
            h = Snake(name=f"snake2_{index}")(h)
            x = x + conv(name=f"conv2_{index}")(h)
        return x


class HiFT(nn.Module):
    """`excite` takes mel to F0 and sines, in float64; `decode` takes mel and these to audio, in float32.

    Training takes both in float32, and what judges it in float64.
    """

    config: VocoderConfig
    precision: Precision = FLOAT32
    f0_precision: Precision = FLOAT64

    def setup(self) -> None:
        c, precision = self.config, self.precision
        stages = range(len(c.upsample_rates))
        self.f0_predictor = F0Predictor(c, self.f0_precision)
        self.source = Source(c, precision)
        self.conv_pre = Conv1d(c.base_channels, c.lookahead + 1, padding=(0, c.lookahead), precision=precision)
        self.ups = [
            Upsampling(self._channels(i), c.upsample_kernels[i], rate, precision)
            for i, rate in enumerate(c.upsample_rates)
        ]
        self.source_downs = [self._source_down(i) for i in stages]
        self.source_resblocks = [
            ResBlock(kernel, dilations, precision)
            for kernel, dilations in zip(c.source_resblock_kernels, c.source_resblock_dilations, strict=True)
        ]
        self.resblocks = [
            ResBlock(kernel, dilations, precision)
            for _ in stages
            for kernel, dilations in zip(c.resblock_kernels, c.resblock_dilations, strict=True)
        ]
        self.conv_post = Conv1d(c.n_fft + 2, 7, precision=precision)

    def _channels(self, stage: int) -> int:
        return self.config.base_channels // 2 ** (stage + 1)

    def _source_down(self, stage: int) -> Conv1d:
        """From STFT rate to the rate of `stage`: the strides of the later upsamplings, multiplied."""
        stride = 1
        for rate in self.config.upsample_rates[stage + 1 :]:
            stride *= rate
        if stride == 1:
            return Conv1d(self._channels(stage), 1, precision=self.precision)
        padding = (stride - 1, 0)
        return Conv1d(self._channels(stage), 2 * stride, stride=stride, padding=padding, precision=self.precision)

    def excite(self, mel: jax.Array, past: SourcePast | None = None) -> tuple[jax.Array, jax.Array]:
        """Mel float64 (B, T, M) -> F0 in Hz (B, T) and the harmonics' phases in cycles (B, T, H), both float64."""
        f0 = self.f0_predictor(mel)
        if past is None:
            return f0, harmonic_cycles(f0, self.config)
        f0 = jnp.where(length_mask(past.known, f0.shape[1]), past.f0, f0)
        return f0, harmonic_cycles(f0, self.config, past.cycles[:, None])

    def excitation(self, f0: jax.Array, sines: jax.Array, noise: jax.Array) -> jax.Array:
        """The source signal (B, S)."""
        return self.source(f0, sines, noise)

    def decode(self, mel: jax.Array, frames: jax.Array, source: jax.Array, source_frames: jax.Array) -> jax.Array:
        """Mel (B, T, M), zero beyond the context of the rows' `frames` (B,), and source (B, S), valid for
        `source_frames` (B,) >= frames -> audio (B, S)."""
        c = self.config
        stft_per_frame = c.samples_per_frame // c.hop
        spectrum = stft(source, source_frames * c.samples_per_frame, c.n_fft, c.hop, self.precision)
        x = self.conv_pre(mel)
        kernels = len(c.resblock_kernels)
        for stage in range(len(c.upsample_rates)):
            x = self.ups[stage](jax.nn.leaky_relu(x, c.leaky_slope))
            if stage == len(c.upsample_rates) - 1:
                x = jnp.concatenate([x[:, 1:2], x], axis=1)  # one frame more, as the STFT has
            x = x + self.source_resblocks[stage](self.source_downs[stage](spectrum))
            branches = [block(x) for block in self.resblocks[stage * kernels : (stage + 1) * kernels]]
            x = sum(branches[1:], branches[0]) / kernels
        # 0.01, not leaky_slope: the reference leaves this one at PyTorch's default.
        spectrum = to_spectrum(self.conv_post(jax.nn.leaky_relu(x, 0.01)), c)
        audio = istft(spectrum, frames * stft_per_frame + 1, c.n_fft, c.hop, self.precision)
        return jnp.clip(audio, -c.audio_limit, c.audio_limit)

    def __call__(self, mel: jax.Array) -> jax.Array:
        """Audio of full rows without noise: touches every parameter, for initialisation."""
        f0, cycles = self.excite(mel)
        f0, sines = f0.astype(jnp.float32), jnp.sin(2 * jnp.pi * cycles).astype(jnp.float32)
        noise = jnp.zeros((mel.shape[1] * self.config.samples_per_frame, self.config.harmonics))
        frames = jnp.full(mel.shape[0], mel.shape[1])
        return self.decode(mel.astype(jnp.float32), frames, self.excitation(f0, sines, noise), frames)


def to_spectrum(x: jax.Array, config: VocoderConfig) -> jax.Array:
    """Log magnitudes and what phases are the sine of, (..., 2 K) -> real and imaginary parts (..., 2 K)."""
    bins = config.n_fft // 2 + 1
    # The inner bound is for the gradient: of an infinite exp the outer one would make 0 times infinity.
    magnitude = jnp.minimum(jnp.exp(jnp.minimum(x[..., :bins], _LARGEST_LOG)), _MAX_MAGNITUDE)
    phase = jnp.sin(x[..., bins:])
    return jnp.concatenate([magnitude * jnp.cos(phase), magnitude * jnp.sin(phase)], axis=-1)


def mask_frames(mel: jax.Array, frames: jax.Array) -> jax.Array:
    """Mel (B, T, M) with zeros beyond each row's frames (B,)."""
    return jnp.where(length_mask(frames, mel.shape[1])[..., None], mel, 0.0)
