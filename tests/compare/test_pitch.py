import numpy as np
import pytest

from cosy_jax.compare import pitch
from cosy_jax.compare.pitch import cents, compare_pitch, track_f0
from tests.compare.signals import noise, pause, voice


def in_step(frames):
    return np.stack([np.arange(frames)] * 2, axis=1)


@pytest.mark.parametrize("hertz", [80.0, 203.7, 440.0])
def test_f0_of_a_tone(hertz):
    f0 = track_f0(voice(hertz))
    assert f0.shape == (25,)
    np.testing.assert_allclose(cents(hertz, f0[3:-3]), 0, atol=6)


def test_silence_and_noise_are_unvoiced():
    f0 = track_f0(np.concatenate([pause(0.4), noise(0.6)]))
    assert np.isnan(f0).mean() > 0.9


def test_voice_starts_at_its_frame():
    f0 = track_f0(np.concatenate([pause(0.4), voice(200)]))
    assert abs(np.flatnonzero(~np.isnan(f0))[0] - 20) <= 1


def test_blocks_give_what_one_pass_gives(monkeypatch):
    samples = np.concatenate([voice(150), voice(220)])
    whole = track_f0(samples)
    monkeypatch.setattr(pitch, "BLOCK", 12)
    np.testing.assert_allclose(track_f0(samples)[3:-3], whole[3:-3], rtol=0.01)


def test_a_shift_of_a_semitone():
    first, second = track_f0(voice(200)), track_f0(voice(200 * 2 ** (1 / 12)))
    found = compare_pitch(first[3:-3], second[3:-3], in_step(19))
    assert found.rmse_cents == pytest.approx(100, abs=5)
    assert found.rmse_hz == pytest.approx(200 * (2 ** (1 / 12) - 1), abs=0.5)
    assert found.voicing_agreement == 1


def test_figures_along_a_path():
    first = np.array([100.0, np.nan, 200.0])
    second = np.array([200.0, 100.0, np.nan, np.nan])
    found = compare_pitch(first, second, np.array([[0, 0], [0, 1], [1, 2], [2, 3]]))
    assert found.rmse_cents == pytest.approx(1200 / np.sqrt(2))
    assert found.rmse_hz == pytest.approx(100 / np.sqrt(2))
    assert found.voicing_agreement == 0.75


def test_nothing_voiced_in_both():
    found = compare_pitch(np.array([100.0, np.nan]), np.array([np.nan, 100.0]), in_step(2))
    assert np.isnan(found.rmse_cents) and np.isnan(found.rmse_hz) and found.voicing_agreement == 0
