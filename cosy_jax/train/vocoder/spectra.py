"""Differentiable spectra of whole rows of audio, in the audio's own type.

B batch, S samples, F frames, N FFT size, K = N / 2 + 1 bins, M mel bands.
"""

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.config import PromptMelConfig
from cosy_jax.nn.precision import FLOAT32, Precision
from cosy_jax.prompt.mel_filters import slaney_filters

Array = jax.Array | np.ndarray  # the host makes batches, the device takes them
_POWER_FLOOR, _MEL_FLOOR = 1e-9, 1e-5


def magnitudes(audio: jax.Array, n_fft: int, hop: int, window: int) -> jax.Array:
    """|STFT| of (B, S) -> (B, F = S / hop + 1, K) under a Hann window of `window` samples, reflected at both ends.

    Reference: torch.stft with center=True. It pads the window with zeros to N, which turns phases alone.
    """
    half = window // 2
    return jnp.abs(_spectrum(jnp.pad(audio, ((0, 0), (half, half)), mode="reflect"), n_fft, hop, window))


def log_mel(audio: Array, config: PromptMelConfig, rate: int, precision: Precision = FLOAT32) -> jax.Array:
    """`prompt.features.mel_spectrogram` of (B, S) at `rate` Hz, which a gradient passes: (B, S / hop, M)."""
    side = (config.n_fft - config.hop) // 2
    padded = jnp.pad(audio, ((0, 0), (side, side)), mode="reflect")
    spectrum = _spectrum(padded, config.n_fft, config.hop, config.n_fft)
    amplitude = jnp.sqrt(spectrum.real**2 + spectrum.imag**2 + _POWER_FLOOR)
    fmax = rate / 2 if config.fmax is None else config.fmax
    filters = slaney_filters(rate, config.n_fft, config.mel_bands, config.fmin, fmax)
    mel = precision.einsum("bfk,mk->bfm", amplitude, jnp.asarray(filters))
    return jnp.log(jnp.maximum(mel, _MEL_FLOOR))


def _spectrum(audio: jax.Array, n_fft: int, hop: int, window: int) -> jax.Array:
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    return jnp.fft.rfft(_frames(audio, window, hop) * jnp.asarray(hann, audio.dtype), n=n_fft)


def _frames(audio: jax.Array, size: int, hop: int) -> jax.Array:
    """(B, S) -> (B, F, size), whole frames only, from shifted slices: a gather's gradient would be a slow scatter."""
    count = (audio.shape[1] - size) // hop + 1
    parts = -(-size // hop)
    length = (count + parts - 1) * hop
    audio = jnp.pad(audio, ((0, 0), (0, max(length - audio.shape[1], 0))))[:, :length]
    hops = audio.reshape(len(audio), -1, hop)
    return jnp.concatenate([hops[:, part : part + count] for part in range(parts)], axis=-1)[..., :size]
