"""F0 and the harmonic source (reference: CausalConvRNNF0Predictor, SineGen2, SourceModuleHnNSF).

B batch, T mel frames, S samples, M mel bands, C channels, H harmonics.

F0 decides the phase of every later sample, so its error grows with time: F0 and phase are taken in float64, for
which `excite` must run under `jax.enable_x64`. The sines themselves are constant over a frame (the reference
repeats the phase, it does not interpolate), so float64 never leaves the frame rate.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from cosy_jax.config import VocoderConfig
from cosy_jax.nn.layers import Linear
from cosy_jax.nn.precision import FLOAT32, FLOAT64, Precision

_LAYERS = 5


class TapConv(nn.Module):
    """Conv1d as one product a tap: XLA's CPU backend has a fast float64 product but no fast float64 convolution.

    Parameters as Conv1d: kernel (K, I, O), bias (O,).
    """

    features: int
    kernel_size: int
    padding: tuple[int, int]
    precision: Precision

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", nn.initializers.normal(0.02), (self.kernel_size, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        length = x.shape[1]
        x = jnp.pad(x, ((0, 0), self.padding, (0, 0)))
        taps = [self.precision.einsum("btc,cd->btd", x[:, k : k + length], kernel[k]) for k in range(self.kernel_size)]
        return sum(taps[1:], taps[0]) + bias.astype(taps[0].dtype)


class F0Predictor(nn.Module):
    """Five convolutions, the first of which sees `f0_lookahead` frames to the right, and a projection to |F0|."""

    config: VocoderConfig
    precision: Precision = FLOAT64

    @nn.compact
    def __call__(self, mel: jax.Array) -> jax.Array:
        """Mel (B, T, M), zero right of each row's end -> F0 in Hz (B, T)."""
        c = self.config
        x = mel
        for index in range(_LAYERS):
            kernel, padding = (c.f0_lookahead + 1, (0, c.f0_lookahead)) if index == 0 else (3, (2, 0))
            conv = TapConv(c.f0_channels, kernel, padding, self.precision, name=f"conv_{index}")
            x = jax.nn.elu(conv(x))
        return jnp.abs(Linear(1, precision=self.precision, name="classifier")(x)[..., 0])


class SourcePast(NamedTuple):
    """What earlier frames leave to the source: the F0 of this window's first `known` (B,) frames, float64 (B, T), and
    each harmonic's phase in cycles before the window (B, H)."""

    f0: jax.Array
    known: jax.Array
    cycles: jax.Array


def harmonic_cycles(f0: jax.Array, config: VocoderConfig, before: jax.Array | float = 0.0) -> jax.Array:
    """Phase of each harmonic at the end of each frame, in cycles modulo 1: F0 (B, T) -> (B, T, H).

    Cycles are summed modulo 1 a frame, so that the sum stays small however long the utterance is. `before` (B, 1, H)
    is the phase that came before the first frame.
    """
    harmonics = jnp.arange(1, config.harmonics + 1, dtype=f0.dtype)
    cycles = f0[..., None] * harmonics * (config.samples_per_frame / config.sample_rate)
    return (before + jnp.cumsum(cycles % 1.0, axis=1)) % 1.0


class Source(nn.Module):
    """Merges sines and noise of all harmonics into one excitation signal."""

    config: VocoderConfig
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, f0: jax.Array, sines: jax.Array, noise: jax.Array) -> jax.Array:
        """F0 (B, T), sines (B, T, H), noise (S, H) or (B, S, H), S = T * samples_per_frame -> source (B, S).

        The noise is uniform in [0, 1), or normal in training. The merge is linear, so it is taken of the sines at
        frame rate and of the noise once for all rows.
        """
        c = self.config
        merge = Linear(1, precision=self.precision, name="linear")
        voiced = (f0 > c.voiced_threshold)[..., None]
        sine_part = merge(jnp.where(voiced, c.sine_amplitude * sines, 0.0))[..., 0]
        bias = merge(jnp.zeros(c.harmonics))[0]
        noise_part = merge(noise)[..., 0] - bias
        amplitude = jnp.where(voiced[..., 0], c.noise_std, c.sine_amplitude / 3)

        def to_samples(x: jax.Array) -> jax.Array:
            return jnp.repeat(x, c.samples_per_frame, axis=1)

        return jnp.tanh(to_samples(sine_part) + to_samples(amplitude) * noise_part)
