"""F0 of a recording, and of two of them along a warping path.

S samples, T frames of 20 ms, P cells of the path.
"""

from typing import NamedTuple

import numpy as np

from cosy_jax.compare.extra import import_librosa
from cosy_jax.compare.spectral import BLOCK, FRAME, RATE

F0_MIN, F0_MAX = 60.0, 500.0  # Hz
_WINDOW = 960  # 40 ms: in a longer one the F0 of speech moves too far
_RESOLUTION = 0.2  # semitones; a finer grid makes the tracker hear F0 in white noise
_SWITCH = 0.05  # probability that voicing changes from frame to frame, a few times a second


class PitchDifference(NamedTuple):
    """`compare_pitch`'s figures."""

    rmse_cents: float  # NaN where no frame is voiced in both
    rmse_hz: float
    voicing_agreement: float  # part of the path's cells


def track_f0(samples: np.ndarray) -> np.ndarray:
    """F0 in Hz of float32 (S,) at 24 kHz -> float64 (T = S // 480,), NaN where unvoiced; the mel's own frames.

    Probabilistic YIN (M. Mauch and S. Dixon, ICASSP 2014) between 60 and 500 Hz decides on voicing and octave. It
    knows steps of 20 cents only; where YIN itself is within one, its value is taken.
    """
    padded = np.pad(samples, (_WINDOW - FRAME.hop) // 2)
    frames = len(samples) // FRAME.hop
    blocks = [_track(padded, start, min(start + BLOCK, frames)) for start in range(0, frames, BLOCK)]
    return np.concatenate(blocks)


def _track(padded: np.ndarray, start: int, end: int) -> np.ndarray:
    librosa = import_librosa()
    samples = padded[start * FRAME.hop : (end - 1) * FRAME.hop + _WINDOW]
    frames = {"sr": RATE, "frame_length": _WINDOW, "hop_length": FRAME.hop, "center": False}
    bounds = {"fmin": F0_MIN, "fmax": F0_MAX}
    coarse, _, _ = librosa.pyin(samples, resolution=_RESOLUTION, switch_prob=_SWITCH, **bounds, **frames)
    fine = librosa.yin(samples, **bounds, **frames)
    near = np.abs(cents(coarse, fine)) <= 100 * _RESOLUTION
    return np.where(near, fine, coarse)


def cents(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Interval from first to second, 1200 an octave."""
    return 1200 * np.log2(second / first)


def compare_pitch(first: np.ndarray, second: np.ndarray, path: np.ndarray) -> PitchDifference:
    """Figures of two tracks in Hz along the path int (P, 2): RMSE over the cells voiced in both, in cents and
    Hz; voicing agrees where both are voiced or neither is."""
    x, y = first[path[:, 0]], second[path[:, 1]]
    agreement = float(np.mean(np.isnan(x) == np.isnan(y)))
    both = ~(np.isnan(x) | np.isnan(y))
    if not both.any():
        return PitchDifference(np.nan, np.nan, agreement)
    x, y = x[both], y[both]
    return PitchDifference(_rms(cents(x, y)), _rms(y - x), agreement)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))
