import numpy as np
import pytest

from cosy_jax.compare.align import align
from tests.compare.signals import noise, pause, voice

SPEECH = np.concatenate([voice(180, 0.3), noise(0.2), voice(140, 0.3)])


@pytest.mark.parametrize("lag", [123, -123, 0])
@pytest.mark.parametrize("snr", [6.0, 40.0])
def test_delayed_copy_with_noise(lag, snr):
    hiss = noise(len(SPEECH) / 24000, seed=1)
    hiss *= np.sqrt(np.mean(SPEECH**2) / np.mean(hiss**2)) * 10 ** (-snr / 20)
    noisy = SPEECH + hiss
    found = align(SPEECH, np.concatenate([pause(lag / 24000), noisy]) if lag >= 0 else noisy[-lag:])
    assert found.lag == lag
    assert found.snr_db == pytest.approx(snr, abs=0.2)
    assert found.gain_db == pytest.approx(0, abs=0.2)


def test_level_is_matched():
    found = align(SPEECH, 0.5 * SPEECH + 0.005 * noise(0.8, seed=1))
    assert found.snr_db == pytest.approx(6.02, abs=0.05)  # the missing half is the error
    assert found.gain_db == pytest.approx(-6.02, abs=0.02)
    expected = 10 * np.log10(np.mean((0.5 * SPEECH) ** 2) / 0.0005**2)
    assert found.matched_snr_db == pytest.approx(expected, abs=0.2)


def test_inverted_polarity():
    found = align(SPEECH, -SPEECH)
    assert (found.lag, found.matched_snr_db, found.gain_db) == (0, np.inf, 0)
    assert found.correlation == pytest.approx(-1)
    assert found.snr_db == pytest.approx(-6.02, abs=0.01)


def test_equal_and_cut():
    assert align(SPEECH, SPEECH)[:2] == (0, np.inf)
    assert align(SPEECH, SPEECH[5000:9000])[:2] == (-5000, np.inf)


def test_unrelated_signals():
    found = align(noise(1.0, seed=1), noise(1.0, seed=2))
    assert abs(found.correlation) < 0.05 and found.matched_snr_db < -20
