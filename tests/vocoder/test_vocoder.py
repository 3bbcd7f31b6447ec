"""Source and vocoder on the tiny model."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.config import VocoderConfig
from cosy_jax.nn.noise import vocoder_noise
from cosy_jax.vocoder.hift import to_spectrum
from cosy_jax.vocoder.source import harmonic_cycles
from cosy_jax.vocoder.vocode import vocode


def test_phase_stays_exact_over_five_minutes():
    config = VocoderConfig()
    f0 = np.full(15000, 220.03)
    with jax.enable_x64(True):
        cycles = np.asarray(harmonic_cycles(jnp.asarray(f0)[None], config))[0]
    exact = np.arange(1, 15001)[:, None] * 220.03 * 480 / 24000 * np.arange(1, 10)
    np.testing.assert_allclose(np.sin(2 * np.pi * cycles), np.sin(2 * np.pi * (exact % 1)), atol=1e-7)


def speak(synthesizer, mel, frames, finalize=True):
    config = synthesizer.config.vocoder
    noise = jnp.asarray(vocoder_noise(synthesizer.config, mel.shape[1] * config.samples_per_frame))
    return vocode(synthesizer.params("vocoder"), jnp.asarray(mel), jnp.asarray(frames), noise, config, finalize)


def random_mel(rows, frames):
    return np.random.default_rng(0).normal(-4, 2, (rows, frames, 80)).astype(np.float32)


@pytest.mark.slow
def test_short_row_of_a_batch_equals_the_row_alone(synthesizer):
    mel = random_mel(2, 40)
    batch = speak(synthesizer, mel, [40, 23])
    alone = speak(synthesizer, mel[1:, :23], [23])
    ours, wanted = np.asarray(batch.samples[1]), np.asarray(alone.samples[0])
    assert np.abs(ours[: len(wanted)] - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert not ours[len(wanted) :].any()
    assert batch.lengths.tolist() == [40 * 480, 23 * 480]


@pytest.mark.slow
def test_unfinished_audio_is_the_start_of_the_finished(synthesizer):
    mel = random_mel(1, 40)
    whole, part = speak(synthesizer, mel, [40]), speak(synthesizer, mel[:, :30], [30], finalize=False)
    length = int(part.lengths[0])
    assert length == (30 - 3 - 4 - 1) * 480
    wanted = np.asarray(whole.samples[0, :length])
    assert np.abs(np.asarray(part.samples[0, :length]) - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_audio_is_limited(synthesizer):
    loud = np.full((1, 20, 80), 30.0, np.float32)
    samples = np.asarray(speak(synthesizer, loud, [20]).samples)
    assert np.isfinite(samples).all() and np.abs(samples).max() <= np.float32(0.99)


def test_a_log_magnitude_beyond_float32_has_a_finite_gradient(synthesizer):
    config = synthesizer.config.vocoder
    x = jnp.full((1, config.n_fft + 2), 100.0)
    np.testing.assert_allclose(jnp.hypot(*jnp.split(to_spectrum(x, config), 2, axis=-1)), 100.0, rtol=1e-6)
    assert np.isfinite(jax.grad(lambda x: to_spectrum(x, config).sum())(x)).all()
