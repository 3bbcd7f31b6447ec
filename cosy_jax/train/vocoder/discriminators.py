"""The discriminators (reference: MultiPeriodDiscriminator in matcha/hifigan/models.py, MultiResSpecDiscriminator in
cosyvoice/hifigan/discriminator.py).

B batch, S samples, P period, F STFT frames, K STFT bins, C channels. A discriminator gives its feature maps, the last
of which is its score; losses take means over all of a map, so that the order of axes is free.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from cosy_jax.nn.layers import Conv1d
from cosy_jax.nn.precision import FLOAT32, Precision
from cosy_jax.train.vocoder.config import DiscriminatorConfig
from cosy_jax.train.vocoder.spectra import magnitudes

Maps = list[jax.Array]


class PeriodDiscriminator(nn.Module):
    """Every P-th sample as a signal of its own: (B, S) -> maps (B P, S', C)."""

    period: int
    config: DiscriminatorConfig
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, audio: jax.Array) -> Maps:
        c = self.config
        audio = jnp.pad(audio, ((0, 0), (0, -audio.shape[1] % self.period)), mode="reflect")
        x = audio.reshape(len(audio), -1, self.period).transpose(0, 2, 1).reshape(len(audio) * self.period, -1, 1)
        maps = []
        for index, channels in enumerate(c.period_channels):
            stride = 1 if index == len(c.period_channels) - 1 else 3
            conv = Conv1d(channels, 5, stride, padding=(2, 2), precision=self.precision, name=f"convs_{index}")
            x = jax.nn.leaky_relu(conv(x), c.leaky_slope)
            maps.append(x)
        return [*maps, Conv1d(1, 3, padding=(1, 1), precision=self.precision, name="conv_post")(x)]


class SpectralDiscriminator(nn.Module):
    """Magnitudes of one resolution as a picture: (B, S) -> maps (B, F, K', C)."""

    n_fft: int
    hop: int
    window: int
    config: DiscriminatorConfig
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, audio: jax.Array) -> Maps:
        c = self.config
        x = magnitudes(audio, self.n_fft, self.hop, self.window)[..., None]
        maps = []
        for index, (taps, stride) in enumerate(((9, 1), (9, 2), (9, 2), (9, 2), (3, 1))):
            conv = SpectralConv(c.spectral_channels, taps, stride, self.precision, name=f"convs_{index}")
            x = jax.nn.leaky_relu(conv(x), c.leaky_slope)
            maps.append(x)
        return [*maps, SpectralConv(1, 3, 1, self.precision, name="conv_post")(x)]


class SpectralConv(nn.Module):
    """Three frames by `taps` bins, zero padded; the stride is along the bins. Kernel (3, K, I, O), bias (O,)."""

    features: int
    taps: int
    stride: int
    precision: Precision

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", nn.initializers.normal(0.02), (3, self.taps, x.shape[-1], self.features))
        y = lax.conv_general_dilated(
            x.astype(self.precision.compute),
            kernel.astype(self.precision.compute),
            window_strides=(1, self.stride),
            padding=[(1, 1), (self.taps // 2, self.taps // 2)],
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=self.precision.lax_precision,
            preferred_element_type=self.precision.accumulate,
        )
        return y + self.param("bias", nn.initializers.zeros, (self.features,)).astype(y.dtype)


class Discriminators(nn.Module):
    """All of them, those of periods first: audio (B, S) -> the maps of each."""

    config: DiscriminatorConfig
    precision: Precision = FLOAT32

    def setup(self) -> None:
        c = self.config
        self.mpd = [PeriodDiscriminator(period, c, self.precision) for period in c.periods]
        resolutions = zip(c.n_ffts, c.hops, c.windows, strict=True)
        self.mrd = [SpectralDiscriminator(*sizes, c, self.precision) for sizes in resolutions]

    def __call__(self, audio: jax.Array) -> list[Maps]:
        return [each(audio) for each in self.mpd] + [each(audio) for each in self.mrd]
