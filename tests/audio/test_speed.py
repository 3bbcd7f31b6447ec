"""Speed: the mel stretched over time, and speech as long as that makes it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosy_jax.audio.speed import change_speed
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.request import Request
from tests.synthesis.test_modes import VOICE

SPEEDS = st.floats(0.5, 2.0)


def direct(mel, speed):
    """The formula of torch.nn.functional.interpolate, frame by frame."""
    size = int(len(mel) / speed)
    rows = []
    for i in range(size):
        position = max((i + 0.5) * len(mel) / size - 0.5, 0)
        left = int(position)
        right = min(left + 1, len(mel) - 1)
        rows.append(mel[left] + (position - left) * (mel[right] - mel[left]))
    return np.asarray(rows)


@given(st.integers(2, 300), SPEEDS)
def test_equals_the_direct_formula(length, speed):
    mel = np.random.default_rng(length).normal(-4, 2, (length, 3)).astype(np.float32)
    stretched = change_speed(mel, speed)
    assert stretched.dtype == np.float32
    np.testing.assert_allclose(stretched, direct(mel, speed), rtol=0, atol=1e-3)


def test_what_torch_computes():
    mel = np.asarray([[0.0], [1.0], [4.0], [9.0]], np.float32)
    # torch.nn.functional.interpolate(torch.tensor([[[0., 1., 4., 9.]]]), size=N, mode="linear") for N = 5, 2, 8
    np.testing.assert_allclose(change_speed(mel, 0.8)[:, 0], [0, 0.7, 2.5, 5.5, 9], atol=1e-6)
    np.testing.assert_array_equal(change_speed(mel, 2.0)[:, 0], [0.5, 6.5])
    np.testing.assert_array_equal(change_speed(mel, 0.5)[:, 0], [0, 0.25, 0.75, 1.75, 3.25, 5.25, 7.75, 9])


def test_speed_one_changes_nothing():
    mel = np.ones((4, 80), np.float32)
    assert change_speed(mel, 1.0) is mel


@pytest.mark.parametrize("speed", [0.49, 2.01, 0.0, -1.0, float("nan"), float("inf")])
def test_speed_out_of_range(speed):
    with pytest.raises(CosyError, match="from 0.5 to 2"):
        Request("Good morning.", VOICE, speed=speed)


@pytest.mark.slow
def test_speech_is_faster_by_the_speed(synthesizer):
    plain, fast = (synthesizer.speak(Request("Good morning.", VOICE, speed=speed)) for speed in (1.0, 1.25))
    np.testing.assert_array_equal(fast.tokens, plain.tokens)
    assert len(fast.mel) == int(len(plain.mel) / 1.25) and len(fast.audio) == 480 * len(fast.mel)
    np.testing.assert_array_equal(fast.mel, change_speed(plain.mel, 1.25))
