import numpy as np
import pytest

from cosy_jax.compare.level import count_clipped, measure_level, silence
from tests.compare.signals import RATE, noise, pause, voice


def test_levels_of_a_sine():
    level = measure_level(0.5 * np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE) + 0.02, RATE)
    assert (level.rate, level.seconds, level.clipped) == (RATE, 1.0, 0)
    assert level.peak_db == pytest.approx(20 * np.log10(0.52), abs=1e-3)
    assert level.rms_db == pytest.approx(10 * np.log10(0.5**2 / 2 + 0.02**2), abs=1e-3)
    assert level.dc == pytest.approx(0.02, abs=1e-6)


@pytest.mark.parametrize(
    ("samples", "count"),
    [
        ([0, 0.9, 1, 1, 1, 0.9, -1, -1, 0], 5),
        ([0, 1, 0, -1, 0], 0),  # single full-scale samples are peaks
        ([0, 0.9992, 0.9995, 0], 2),
        ([0.5, 0.99, 0.99, 0.99, 0.5], 3),  # the vocoder's limit
        ([0.985, 0.986, 0.987, 0.986], 0),  # loud, not flat
        ([0.5, 0.5, 0.5], 0),
    ],
)
def test_clipped_samples(samples, count):
    assert count_clipped(np.array(samples, np.float32)) == count


def test_a_clipped_sine_counts_its_flat_tops():
    loud = 1.5 * np.sin(2 * np.pi * 217.3 * np.arange(RATE) / RATE)
    assert count_clipped(np.clip(loud, -1, 1)) == np.sum(np.abs(loud) >= 0.999)
    assert count_clipped(loud / 1.501) == 0


@pytest.mark.parametrize("offset", [0.0, 0.05])
def test_silence_at_head_and_tail(offset):
    quiet = 1e-4 * noise(0.2)
    samples = np.concatenate([pause(0.3), voice(200), pause(0.4), voice(200), quiet]) + offset
    head, tail = silence(samples, RATE)
    assert (head, tail) == pytest.approx((0.3, 0.2), abs=0.011)


def test_no_silence():
    assert silence(voice(200), RATE) == (0.0, 0.0)
