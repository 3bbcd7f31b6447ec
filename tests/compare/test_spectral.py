import numpy as np
import pytest
from scipy.spatial.distance import cdist

from cosy_jax.compare import spectral
from cosy_jax.compare.spectral import log_mel, mel_distance, warp
from tests.compare.signals import melody, noise, pause, voice

SHORT = melody((150, 0.2), (220, 0.2), (120, 0.2), (300, 0.2))
LONG = melody((150, 0.2), (220, 0.5), (120, 0.2), (300, 0.35))


def mel(samples):
    return log_mel(samples, 12000)


def distance(first, second):
    return mel_distance(mel(first), mel(second), warp(mel(first), mel(second)))


def test_distance_of_a_recording_to_itself():
    assert distance(SHORT, SHORT) == 0


def test_distance_of_a_quieter_copy_is_the_gain():
    loud = noise(0.5)
    assert distance(loud, 0.5 * loud) == pytest.approx(6.02, abs=0.01)


def test_distance_is_the_rms_over_bands():
    first, second = np.zeros((1, 4)), np.array([[0.0, 0.0, 0.0, 8.0]])
    assert mel_distance(first, second, np.array([[0, 0]])) == 4


def test_what_lies_far_below_the_peak_does_not_count():
    with_floor = np.concatenate([SHORT, 1e-3 * noise(0.3)])
    assert distance(np.concatenate([SHORT, pause(0.3)]), with_floor) < 0.1


def test_other_timing_is_warped_away():
    first, second = mel(SHORT), mel(LONG)
    frames = np.arange(len(first))
    in_step = mel_distance(first, second, np.stack([frames, frames], axis=1))
    assert distance(SHORT, LONG) < 0.25 * in_step
    assert distance(SHORT, melody((150, 0.2), (220, 0.2), (400, 0.2), (300, 0.2))) > distance(SHORT, LONG)


def test_path_is_the_cheapest():
    first, second = mel(SHORT)[::3], mel(LONG)[::3]
    cost = cdist(*spectral.audible(first, second))
    total = np.full(np.add(cost.shape, 1), np.inf)
    total[0, 0] = 0
    for i, j in np.ndindex(cost.shape):
        total[i + 1, j + 1] = cost[i, j] + min(total[i, j], total[i, j + 1], total[i + 1, j])
    path = warp(first, second)
    assert cost[path[:, 0], path[:, 1]].sum() == pytest.approx(total[-1, -1], rel=1e-5)


@pytest.mark.parametrize("cells", [200, 900])
def test_long_recordings_are_warped_in_parts(monkeypatch, cells):
    first, second = mel(SHORT), mel(LONG)
    whole = mel_distance(first, second, warp(first, second))
    monkeypatch.setattr(spectral, "_MAX_CELLS", cells)
    largest = []
    whole_dtw = spectral._dtw
    monkeypatch.setattr(spectral, "_dtw", lambda a, b: largest.append(len(a) * len(b)) or whole_dtw(a, b))
    path = warp(first, second)
    steps = np.diff(path, axis=0)
    assert len(largest) > 2 and max(largest) <= 2 * cells  # rounding to whole frames
    assert path[0].tolist() == [0, 0] and path[-1].tolist() == [len(first) - 1, len(second) - 1]
    assert steps.min() >= 0 and steps.max() == 1 and steps.sum(axis=1).min() >= 1
    assert mel_distance(first, second, path) < 1.5 * whole + 0.5


@pytest.mark.parametrize("block", [1, 7, 39])
def test_blocks_give_what_one_pass_gives(monkeypatch, block):
    samples = np.append(SHORT, noise(0.011))
    whole = mel(samples)
    monkeypatch.setattr(spectral, "BLOCK", block)
    np.testing.assert_array_equal(mel(samples), whole)


def test_bands_end_at_the_bandwidth():
    wave = voice(200) + np.float32(0.1) * np.sin(2 * np.pi * 9000 * np.arange(12000) / 24000).astype(np.float32)
    assert log_mel(wave, 12000)[5:20, 65:].max() > -20
    assert log_mel(wave, 8000)[5:20, 65:].max() < -20
