"""Crops, and F0 by WORLD."""

import sys

import numpy as np
import pytest

from cosy_jax.errors import CosyError
from cosy_jax.train.vocoder.config import GanConfig
from cosy_jax.train.vocoder.f0_target import _resize, f0_target
from cosy_jax.train.vocoder.segments import collate, crop, segment


def test_crop_is_decided_by_its_key():
    speech = np.arange(100.0)
    first = crop(speech, (1, 2, 3), 60)
    np.testing.assert_array_equal(first, crop(speech, (1, 2, 3), 60))
    starts = {int(crop(speech, (0, index), 98)[0]) for index in range(50)}
    assert starts == {0, 1, 2}  # both ends are reached
    np.testing.assert_array_equal(crop(speech[:3], (0,), 5), [0, 1, 2, 0, 0])


def test_a_segment_s_parts_fit_each_other():
    config = GanConfig(segment_frames=26)
    time = np.arange(24000) / 24000
    speech = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in range(1, 6)) * 0.2
    batch = collate([segment(speech, (0, row), config) for row in range(2)])
    assert batch.speech.shape == (2, 26 * 480) and batch.mel.shape == (2, 26, 80) and batch.f0.shape == (2, 26)
    assert {part.dtype for part in batch} == {np.dtype(np.float32)}
    np.testing.assert_allclose(batch.f0[:, 5:-5], 150, rtol=0.02)


def test_silence_has_no_pitch():
    assert not f0_target(np.zeros(9600, np.float32), 20, 24000, 480).any()


def test_interpolation_between_lengths():
    # As torch.nn.functional.interpolate(mode="linear") of these values.
    np.testing.assert_allclose(_resize(np.asarray([0.0, 1.0, 2.0, 4.0]), 3), [1 / 6, 1.5, 11 / 3], rtol=1e-12)


def test_without_pyworld(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyworld", None)
    with pytest.raises(CosyError, match=r"pip install 'cosy_jax\[train\]'"):
        f0_target(np.zeros(960, np.float32), 2, 24000, 480)
