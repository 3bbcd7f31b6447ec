"""Figures of signals that are known."""

import sys

import numpy as np
import pytest

from cosy_jax.errors import CosyError
from cosy_jax.evaluate.sound import has_sound, measure, track_f0
from tests.compare.signals import RATE, noise, pause, voice


def test_a_tone_between_pauses():
    found = measure(np.concatenate([pause(0.3), voice(180, 0.6), pause(0.2)]), RATE)
    assert found["seconds"] == pytest.approx(1.1) and found["f0_median"] == pytest.approx(180, rel=0.01)
    assert found["head_silence"] == pytest.approx(0.3, abs=0.02)
    assert found["tail_silence"] == pytest.approx(0.2, abs=0.02)
    assert found["clipped"] == 0 and found["f0_spread"] < 0.5 and 0.3 < found["voiced"] < 0.7


def test_spread_in_semitones():
    octave = np.concatenate([voice(120, 1.0), voice(240, 1.0)])
    assert 6 < measure(octave, RATE)["f0_spread"] < 12.5


def test_clipping_is_counted():
    assert measure(np.clip(8 * voice(150), -1, 1), RATE)["clipped"] > 100


@pytest.mark.parametrize("samples", [pause(1), pause(0), voice(200, 0.03)], ids=["silent", "empty", "short"])
def test_nothing_to_measure(samples):
    assert not has_sound(samples, RATE)
    found = measure(samples, RATE)
    assert found["seconds"] == round(len(samples) / RATE, 4)
    assert {value for name, value in found.items() if name != "seconds"} == {None}


def test_noise_is_not_voiced():
    assert np.mean(track_f0(noise(1.0), RATE) > 0) < 0.1


def test_without_pyworld(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyworld", None)
    with pytest.raises(CosyError, match=r"F0 and error rates need pyworld: pip install 'cosy_jax\[evaluate\]'\."):
        measure(voice(200), RATE)
