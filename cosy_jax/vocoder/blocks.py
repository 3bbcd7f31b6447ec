"""HiFT's decoder as loops over equal work, for a TPU: over blocks of frames, in these over a stage's layers, in these
over a convolution's taps.

XLA's TPU compiler takes 5 to 14 s for one convolution of the vocoder, which has 81 of them, and longer the longer they
are. Here it sees one product a stage, of one size whatever the utterance's length, and a block's activations are small
enough to stay on the chip. Every convolution is causal but conv_pre, so a block needs of those before it the last
inputs of each. The layers' parameters are joined before, once (`join_layers`): the compiler takes a tenth of a second
for each array that a program joins.

B batch, T mel frames, S samples, N frames of a block, P residual blocks of a stage with the source's first, L layers of
one, R inputs that a layer looks back on at most, K taps, C channels, F STFT frames.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cosy_jax.config import VocoderConfig
from cosy_jax.nn.precision import FLOAT32, Precision
from cosy_jax.nn.taps import tap_convolution
from cosy_jax.vocoder.hift import to_spectrum
from cosy_jax.vocoder.snake import snake
from cosy_jax.vocoder.stft import analysis_matrix, inverse, reflected
from cosy_jax.vocoder.upsampling import fold_kernel

# Rows times frames of a block: large enough that products fill the matrix units, small enough for the chip's memory
# (the last stage has 120 x 64 values a frame, 30 KiB).
_BLOCK = 256
JOINED = "stages"  # in the place of the layers that a stage's loops run over


class Layers(NamedTuple):
    """The convolutions of a stage's residual blocks, int (P, L): where the taps of each begin among those of all, how
    many there are, and how far apart."""

    first: np.ndarray
    taps: np.ndarray
    dilation: np.ndarray

    @property
    def reach(self) -> int:
        """Inputs that any of them looks back on (R)."""
        return int(np.max((self.taps - 1) * self.dilation))


class StageState(NamedTuple):
    """The last inputs of a stage's upsampling (B, J, C) and of its layers (P, L, B, R, C)."""

    upsampled: jax.Array
    layers: jax.Array


class State(NamedTuple):
    """What a block leaves to the next: of each stage; the last value of the last upsampling (B, 1, C); the last inputs
    of conv_post (B, K - 1, C); the last spectra (B, J, 2 bins)."""

    stages: tuple[StageState, ...]
    last: jax.Array
    post: jax.Array
    spectrum: jax.Array


def decode_in_blocks(
    params: dict,
    mel: jax.Array,
    frames: jax.Array,
    source: jax.Array,
    source_frames: jax.Array,
    config: VocoderConfig,
    precision: Precision = FLOAT32,
) -> jax.Array:
    """As `HiFT.decode`, within rounding: mel (B, T, M), frames (B,), source (B, S), source_frames (B,) -> (B, S)."""
    c, batch, length = config, mel.shape[0], mel.shape[1]
    count = -(-(length + 1) // max(1, _BLOCK // batch))  # the STFT has a frame more than the mel
    size = -(-(length + 1) // count)
    padded = jnp.pad(mel, ((0, 0), (0, c.lookahead), (0, 0)))
    x = _convolve(padded, params["conv_pre"], precision)
    x = jnp.pad(x, ((0, 0), (0, count * size - length), (0, 0)))
    x = jnp.moveaxis(x.reshape(batch, count, size, -1), 1, 0)

    samples = size * c.samples_per_frame
    lead = (_strides(c)[0] - 1) * c.hop  # what the first block sees left of the signal
    signal = reflected(source, source_frames * c.samples_per_frame, c.n_fft)
    signal = jnp.pad(signal, ((0, 0), (lead, count * samples - source.shape[1])))
    decoder = _Decoder(params, config, precision, frames * (c.samples_per_frame // c.hop) + 1)

    def block(state: State, part: tuple[jax.Array, jax.Array]) -> tuple[State, jax.Array]:
        index, x = part
        seen = lax.dynamic_slice_in_dim(signal, index * samples, lead + samples + c.n_fft, axis=1)
        return decoder(state, index * (samples // c.hop), x, seen)

    _, audio = lax.scan(block, decoder.beginning(batch), (jnp.arange(count), x))
    half = c.n_fft // 2
    audio = jnp.moveaxis(audio, 0, 1).reshape(batch, -1)[:, half : half + source.shape[1]]
    return jnp.clip(audio, -c.audio_limit, c.audio_limit)


class _Decoder:
    """One block: parameters as its loops want them."""

    def __init__(self, params: dict, config: VocoderConfig, precision: Precision, spectra: jax.Array) -> None:
        """`spectra` (B,): the STFT frames of each row."""
        self._params, self._config, self._precision, self._spectra = params, config, precision, spectra
        self._layers = [_layers(config, stage) for stage in range(len(config.upsample_rates))]

    def beginning(self, batch: int) -> State:
        """Nothing came before: zeros, as every convolution is padded with."""
        c = self._config

        def zeros(*shape: int) -> jax.Array:
            return jnp.zeros((*shape[:-2], batch, *shape[-2:]), self._precision.accumulate)

        stages = []
        for joined, layers in zip(self._params[JOINED].values(), self._layers, strict=True):
            parts, inputs, _ = joined["upsampling"]["kernel"].shape
            left = zeros(*layers.taps.shape, layers.reach, joined["alpha"].shape[-1])
            stages.append(StageState(zeros(parts - 1, inputs), left))
        taps, channels, bins = self._params["conv_post"]["kernel"].shape
        return State(tuple(stages), zeros(1, channels), zeros(taps - 1, channels), zeros(c.n_fft // c.hop - 1, bins))

    def __call__(self, state: State, first: jax.Array, x: jax.Array, seen: jax.Array) -> tuple[State, jax.Array]:
        """x (B, N, C) of conv_pre and the reflected signal seen (B, S') from the STFT frame `first` on, less what the
        strided convolutions look back -> audio (B, S) that ends in the middle of a window, as `inverse` has it."""
        c, stages = self._config, []
        spectrum = self._analyse(first, seen)
        for stage, rate in enumerate(c.upsample_rates):
            inputs = jnp.concatenate([state.stages[stage].upsampled, jax.nn.leaky_relu(x, c.leaky_slope)], axis=1)
            joined = self._params[JOINED][f"stage_{stage}"]
            x = _convolve(inputs, joined["upsampling"], self._precision).reshape(len(x), x.shape[1] * rate, -1)
            if stage == len(c.upsample_rates) - 1:  # one value more in front, the second one
                shifted = jnp.concatenate([jnp.where(first == 0, x[:, 1:2], state.last), x[:, :-1]], axis=1)
                last, x = x[:, -1:], shifted
            source = self._source_down(stage, spectrum, x.shape[1])
            left = state.stages[stage].layers
            x, left = _residuals(joined, self._layers[stage], left, x, source, self._precision)
            stages.append(StageState(_last(inputs, state.stages[stage].upsampled), left))
        post = jnp.concatenate([state.post, jax.nn.leaky_relu(x, 0.01)], axis=1)
        spectrum = to_spectrum(_convolve(post, self._params["conv_post"], self._precision), c)
        spectra = jnp.concatenate([state.spectrum, spectrum], axis=1)
        after = State(tuple(stages), last, _last(post, state.post), _last(spectra, state.spectrum))
        return after, self._synthesise(first, spectra)

    def _analyse(self, first: jax.Array, seen: jax.Array) -> jax.Array:
        """Spectra (B, F, 2 bins), zero before the signal begins."""
        kernel = jnp.asarray(analysis_matrix(self._config.n_fft)[:, None], self._precision.compute)
        spectrum = tap_convolution(seen[..., None], kernel, self._precision, self._config.hop)
        index = first - (_strides(self._config)[0] - 1) + jnp.arange(spectrum.shape[1])
        return jnp.where((index >= 0)[:, None], spectrum, 0.0)

    def _source_down(self, stage: int, spectrum: jax.Array, length: int) -> jax.Array:
        down, stride = self._params[f"source_downs_{stage}"], _strides(self._config)[stage]
        begin = _strides(self._config)[0] - stride
        end = begin + stride * (length - 1) + down["kernel"].shape[0]
        return _convolve(spectrum[:, begin:end], down, self._precision, stride)

    def _synthesise(self, first: jax.Array, spectra: jax.Array) -> jax.Array:
        c = self._config
        before = c.n_fft // c.hop - 1
        index = first - before + jnp.arange(spectra.shape[1])
        audio = inverse(spectra, (index >= 0) & (index < self._spectra[:, None]), c.n_fft, c.hop, self._precision)
        return audio[:, before * c.hop : spectra.shape[1] * c.hop]


def _strides(config: VocoderConfig) -> list[int]:
    """Of the convolution that takes the spectrum to each stage's rate."""
    return [int(np.prod(config.upsample_rates[stage + 1 :])) for stage in range(len(config.upsample_rates))]


def _last(x: jax.Array, like: jax.Array) -> jax.Array:
    return x[:, x.shape[1] - like.shape[1] :]


def _convolve(x: jax.Array, layer: dict, precision: Precision, stride: int = 1) -> jax.Array:
    y = tap_convolution(x, layer["kernel"], precision, stride)
    return y + layer["bias"].astype(y.dtype)


def _layers(config: VocoderConfig, stage: int) -> Layers:
    widths = [config.source_resblock_kernels[stage], *config.resblock_kernels]
    spread = [config.source_resblock_dilations[stage], *config.resblock_dilations]
    dilation = np.asarray([[step for dilated in each for step in (dilated, 1)] for each in spread], np.int32)
    taps = np.broadcast_to(np.asarray(widths, np.int32)[:, None], dilation.shape)
    first = (np.cumsum(taps) - taps.ravel()).reshape(taps.shape).astype(np.int32)
    return Layers(first, taps, dilation)


def join_layers(params: dict, config: VocoderConfig) -> dict:
    """The vocoder's parameters with those of each stage joined: upsampling {kernel, bias}, as of values that are not
    repeated; all taps of its residual blocks, kernel (K, C, C); bias and alpha (P, L, C)."""
    rest, joined = dict(params), {}
    for stage, rate in enumerate(config.upsample_rates):
        kernels = len(config.resblock_kernels)
        names = [f"source_resblocks_{stage}", *(f"resblocks_{stage * kernels + index}" for index in range(kernels))]
        blocks = [rest.pop(name) for name in names]
        layers = [f"{which}_{index}" for index in range(len(config.resblock_dilations[0])) for which in (1, 2)]

        def all_of(kind: str, leaf: str, blocks: list = blocks, layers: list = layers) -> list[jax.Array]:
            return [block[f"{kind}{layer}"][leaf] for block in blocks for layer in layers]

        shape, up = (len(blocks), len(layers), -1), rest.pop(f"ups_{stage}")
        joined[f"stage_{stage}"] = {
            "upsampling": {"kernel": fold_kernel(up["kernel"], rate), "bias": jnp.tile(up["bias"], rate)},
            "kernel": jnp.concatenate(all_of("conv", "kernel")),
            "bias": jnp.concatenate(all_of("conv", "bias")).reshape(shape),
            "alpha": jnp.concatenate(all_of("snake", "alpha")).reshape(shape),
        }
    return {**rest, JOINED: joined}


def _residuals(
    joined: dict, layers: Layers, left: jax.Array, x: jax.Array, source: jax.Array, precision: Precision
) -> tuple[jax.Array, jax.Array]:
    """x and source (B, T, C) -> the mean of the stage's residual blocks, after the source's is added to x; and what
    the layers leave to the next block, as `left`."""

    def residual(carry: tuple, part: tuple) -> tuple[tuple, jax.Array]:
        x, total = carry
        of_source, *rest = part
        y, left = _residual(joined["kernel"], rest, jnp.where(of_source, source, x), precision)
        return (jnp.where(of_source, x + y, x), jnp.where(of_source, total, total + y)), left

    count = len(layers.taps)
    parts = (jnp.arange(count) == 0, joined["bias"], joined["alpha"], *layers, left)
    (_, total), left = lax.scan(residual, (x, jnp.zeros_like(x)), parts)
    return total / (count - 1), left


def _residual(kernel: jax.Array, layers: list, x: jax.Array, precision: Precision) -> tuple[jax.Array, jax.Array]:
    """One residual block, pairs of layers after each of which x is added."""

    def layer(carry: tuple, part: tuple) -> tuple[tuple, jax.Array]:
        x, h = carry
        second, bias, alpha, first, taps, dilation, left = part
        inputs = jnp.concatenate([left, snake(h, alpha)], axis=1)

        def tap(index: jax.Array, total: jax.Array) -> jax.Array:
            begin = left.shape[1] - (taps - 1 - index) * dilation
            seen = lax.dynamic_slice_in_dim(inputs, begin, x.shape[1], axis=1)
            of_tap = lax.dynamic_index_in_dim(kernel, first + index, keepdims=False)
            return total + precision.einsum("bti,io->bto", seen, of_tap)

        h = lax.fori_loop(0, taps, tap, jnp.broadcast_to(bias, x.shape).astype(x.dtype))
        x = jnp.where(second, x + h, x)
        return (x, jnp.where(second, x, h)), _last(inputs, left)

    second = jnp.arange(len(layers[0])) % 2 == 1
    (x, _), left = lax.scan(layer, (x, x), (second, *layers))
    return x, left
