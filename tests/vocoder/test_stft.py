"""STFT and ISTFT against plain NumPy, and at the edges of padded rows."""

import jax.numpy as jnp
import numpy as np

from cosy_jax.vocoder.stft import istft, stft

N_FFT, HOP = 16, 4


def signal(size):
    return np.random.default_rng(0).standard_normal(size).astype(np.float32)


def test_stft_equals_numpy():
    x = signal(80)
    ours = np.asarray(stft(jnp.asarray(x)[None], jnp.asarray([80]), N_FFT, HOP))[0]
    padded = np.pad(x.astype(np.float64), N_FFT // 2, mode="reflect")
    window = np.hanning(N_FFT + 1)[:-1]
    frames = np.stack([np.fft.rfft(padded[i : i + N_FFT] * window) for i in range(0, 81, HOP)])
    np.testing.assert_allclose(ours, np.concatenate([frames.real, frames.imag], axis=1), atol=2e-6)


def test_stft_reflects_at_each_rows_own_end():
    x = signal(80)
    alone = np.asarray(stft(jnp.asarray(x[:60])[None], jnp.asarray([60]), N_FFT, HOP))[0]
    padded = np.asarray(stft(jnp.asarray(x)[None], jnp.asarray([60]), N_FFT, HOP))[0]
    np.testing.assert_array_equal(padded[: len(alone)], alone)


def test_istft_inverts_stft_and_ignores_frames_beyond_the_end():
    x = signal(80)
    spectrum = np.array(stft(jnp.asarray(x[:60])[None], jnp.asarray([60]), N_FFT, HOP))
    spectrum = np.concatenate([spectrum, np.full((1, 5, N_FFT + 2), 9.0, np.float32)], axis=1)
    back = np.asarray(istft(jnp.asarray(spectrum), jnp.asarray([60 // HOP + 1]), N_FFT, HOP))[0]
    np.testing.assert_allclose(back[:60], x[:60], atol=2e-6)
