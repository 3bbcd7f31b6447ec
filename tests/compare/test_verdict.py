import numpy as np
import pytest

from cosy_jax.compare.align import Alignment
from cosy_jax.compare.level import Level
from cosy_jax.compare.measure import Comparison
from cosy_jax.compare.pitch import PitchDifference
from cosy_jax.compare.verdict import file_warnings, grade, sentence

GOOD = Level(rate=24000, seconds=3, rms_db=-20, peak_db=-3, dc=0, clipped=0, head_silence=0.1, tail_silence=0.1)


def comparison(matched=-10.0, lag=0, gain=0.0, sign=1, mel=12.0, longer=0.0, identical=False):
    alignment = Alignment(lag, snr_db=-3.0, matched_snr_db=matched, gain_db=gain, correlation=sign * 0.5)
    return Comparison(identical, 24000, alignment, lag / 24000, mel, PitchDifference(50.0, 5.0, 0.9), longer)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"identical": True, "matched": np.inf}, "identical"),
        ({"matched": np.inf, "longer": -0.5}, "same signal"),
        ({"matched": 60.0}, "same signal"),
        ({"matched": 59.9}, "nearly the same signal"),
        ({"matched": 20.0}, "nearly the same signal"),
        ({"matched": 19.9}, "same signal with noise or distortion"),
        ({"matched": 0.0}, "same signal with noise or distortion"),
        ({"matched": -0.1, "mel": 7.0, "longer": 0.25}, "same speech, other waveform"),
        ({"mel": 7.1}, "different"),
        ({"mel": 3.0, "longer": 0.26}, "different"),
        ({"mel": 3.0, "longer": -0.26}, "different"),
    ],
)
def test_grades(changes, word):
    assert grade(comparison(**changes)) == word


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"identical": True, "matched": np.inf}, "identical, sample for sample"),
        ({"matched": 74.12}, "same signal (SNR 74.1 dB)"),
        (
            {"matched": 30.0, "lag": 120, "gain": -6.0},
            "nearly the same signal (SNR 30.0 dB), 5.0 ms later, 6.0 dB quieter",
        ),
        ({"matched": 70.0, "lag": -24, "gain": 1.0}, "same signal (SNR 70.0 dB), 1.0 ms earlier, 1.0 dB louder"),
        ({"matched": 70.0, "sign": -1}, "same signal (SNR 70.0 dB), with inverted polarity"),
        ({"lag": 900, "gain": -20.0, "mel": 12.34}, "different (log-mel distance 12.3 dB)"),
    ],
)
def test_sentences(changes, text):
    assert sentence(comparison(**changes)) == text


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"clipped": 12}, "12 clipped samples"),
        ({"rms_db": -55.0}, "nearly silent (RMS -55 dBFS)"),
        ({"dc": -0.02}, "constant offset of -0.020"),
        ({"head_silence": 0.6}, "0.60 s of silence at the head"),
        ({"tail_silence": 0.5}, "0.50 s of silence at the tail"),
    ],
)
def test_warnings_of_a_file(changes, text):
    assert file_warnings(GOOD._replace(**changes), None) == [text]


def test_warnings_against_the_first():
    assert file_warnings(GOOD, comparison(longer=0.05)) == []
    assert file_warnings(GOOD, comparison(longer=0.08)) == ["8% longer than the first"]
    assert file_warnings(GOOD, comparison(longer=-0.5)) == ["50% shorter than the first"]
