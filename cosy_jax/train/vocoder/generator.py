"""The generator in training: the vocoder's own modules, F0 and phases in the same type as the rest.

B batch, T mel frames, M mel bands, S = T * samples_per_frame samples, H harmonics.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from cosy_jax.config import VocoderConfig
from cosy_jax.nn.precision import FLOAT32, Precision
from cosy_jax.train.vocoder.spectra import Array
from cosy_jax.vocoder.hift import HiFT


class Generated(NamedTuple):
    """audio (B, S) and f0 in Hz (B, T)."""

    audio: jax.Array
    f0: jax.Array


def generate(
    params: dict,
    mel: Array,
    noise: Array,
    config: VocoderConfig,
    precision: Precision = FLOAT32,
) -> Generated:
    """Audio of mels (B, T, M), log amplitude, and normal noise (B, S, H); `params` are folded.

    No gradient reaches F0 through the sines: the F0 predictor learns from its own loss alone. The reference also draws
    a first phase for each harmonic, but adds it to a sample that its interpolation to frames passes over. Reference:
    cosyvoice/hifigan/generator.py, HiFTGenerator.forward.
    """
    model, variables = HiFT(config, precision, precision), {"params": params}
    f0, cycles = model.apply(variables, mel, method="excite")
    sines = jax.lax.stop_gradient(jnp.sin(2 * jnp.pi * cycles))
    source = model.apply(variables, jax.lax.stop_gradient(f0), sines, noise, method="excitation")
    frames = jnp.full(mel.shape[0], mel.shape[1])
    return Generated(model.apply(variables, mel, frames, source, frames, method="decode"), f0)
