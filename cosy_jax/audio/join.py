"""Audio that was made in pieces, as one."""

from collections.abc import Sequence

import numpy as np

FADE_SECONDS = 0.005  # short enough to pass unheard, long enough not to click


def join_audio(pieces: Sequence[np.ndarray], sample_rate: int, fade_seconds: float = FADE_SECONDS) -> np.ndarray:
    """One or more pieces, each float32 (S,), one after the other: float32, as long as all of them together.

    At each join the left piece fades out and the right one fades in along a raised cosine, so that no step is heard;
    the first piece's head and the last one's tail stay as they are.
    """
    last = len(pieces) - 1
    return np.concatenate([fade(piece, sample_rate, i > 0, i < last, fade_seconds) for i, piece in enumerate(pieces)])


def fade(piece: np.ndarray, sample_rate: int, head: bool, tail: bool, fade_seconds: float = FADE_SECONDS) -> np.ndarray:
    """A copy of a piece (S,) that fades in at its head, out at its tail, or both."""
    piece = np.array(piece, np.float32)
    rise = _fade_in(min(round(fade_seconds * sample_rate), len(piece)))
    if head:
        piece[: len(rise)] *= rise
    if tail:
        piece[len(piece) - len(rise) :] *= rise[::-1]
    return piece


def _fade_in(length: int) -> np.ndarray:
    """Rising half of a Hann window, float32 (length,), its ends half a sample off 0 and 1."""
    return np.sin(np.pi / 2 * (np.arange(length, dtype=np.float32) + 0.5) / max(length, 1)) ** 2
