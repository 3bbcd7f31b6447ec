"""The part of a long recording that makes the best voice.

S samples, T frames of 20 ms.
"""

from collections.abc import Iterator

import numpy as np

from cosy_jax.audio.usable import FRAMES_A_SECOND, frame_levels
from cosy_jax.compare.level import CLIPPED_AT
from cosy_jax.errors import CosyError

LONGEST, SHORTEST = 10.0, 3.0  # s
_PAUSE = 10  # frames
_EDGE = 5  # frames of a pause that are kept
_LOUD = 30.0  # dB below the loudest frames speech may be
_CONTRAST = 10.0  # dB between speech and pauses that weigh as much as a second more of speech
_MOST_CONTRAST = 60.0  # dB


def cleanest_stretch(samples: np.ndarray, rate: int, longest: float = LONGEST) -> tuple[int, int]:
    """Where to cut samples (S,) at `rate` Hz: a stretch of 3 s to `longest` s that begins and ends in a pause, holds
    much speech, little between the words, and no clipped sample where there is such a one; all where that is short.

    CosyError where no two pauses are so far apart.
    """
    if len(samples) <= longest * rate:
        return 0, len(samples)
    levels = frame_levels(samples, rate)
    size = rate // FRAMES_A_SECOND
    frames = samples[: len(levels) * size].reshape(len(levels), size)
    speech, clipped = _speech(levels), np.abs(frames).max(axis=1) >= CLIPPED_AT
    best = max(
        _stretches(speech, int(longest * rate) // size, int(SHORTEST * rate) // size),
        key=lambda part: _merit(levels[slice(*part)], speech[slice(*part)], clipped[slice(*part)]),
        default=None,
    )
    if best is None:
        raise CosyError(
            f"The recording has no stretch of {SHORTEST:.0f} to {longest:.0f} s between two pauses: cut one out of it."
        )
    return best[0] * size, best[1] * size


def _speech(levels: np.ndarray) -> np.ndarray:
    """Which frames (T,) are loud enough for speech: within 30 dB of the loudest, or well above the quietest."""
    quiet, loud = np.percentile(levels, (5, 99))
    return levels >= max(loud - _LOUD, quiet + (loud - quiet) / 4)


def _stretches(speech: np.ndarray, longest: int, shortest: int) -> Iterator[tuple[int, int]]:
    """First frame, and the one behind the last, of every stretch from one pause to another."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], speech, [True]]).astype(np.int8)))
    pauses = [(first, last) for first, last in edges.reshape(-1, 2).tolist() if last - first >= _PAUSE]
    for index, (_, start) in enumerate(pauses):
        for end, _ in pauses[index + 1 :]:
            part = start - _EDGE, end + _EDGE
            if part[1] - part[0] > longest:
                break
            if part[1] - part[0] >= shortest:
                yield part


def _merit(levels: np.ndarray, speech: np.ndarray, clipped: np.ndarray) -> tuple[bool, float]:
    contrast = levels[speech].mean() - levels[~speech].mean()
    return not clipped.any(), speech.sum() / FRAMES_A_SECOND + min(contrast, _MOST_CONTRAST) / _CONTRAST
