"""Spectra that a gradient passes."""

import jax.numpy as jnp
import numpy as np

from cosy_jax.config import PromptMelConfig
from cosy_jax.prompt.features import mel_spectrogram
from cosy_jax.train.vocoder.spectra import log_mel, magnitudes


def test_mel_is_that_of_the_prompt():
    speech = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 4800)).astype(np.float32)
    speech[1, 2000:] = 0
    wanted = [mel_spectrogram(row, PromptMelConfig()) for row in speech]
    np.testing.assert_allclose(log_mel(jnp.asarray(speech), PromptMelConfig(), 24000), np.stack(wanted), atol=2e-5)


def test_magnitudes_with_a_window_shorter_than_the_transform():
    n_fft, hop, window = 64, 10, 48
    x = np.random.default_rng(0).standard_normal(205)
    padded = np.pad(x, n_fft // 2, mode="reflect")
    hann = np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window), (n_fft - window) // 2)
    frames = [padded[start : start + n_fft] * hann for start in range(0, len(x) + 1, hop)]
    ours = magnitudes(jnp.asarray(x[None], jnp.float32), n_fft, hop, window)[0]
    np.testing.assert_allclose(ours, np.abs(np.fft.rfft(frames)), atol=1e-5)
