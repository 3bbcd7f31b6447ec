"""Two recordings as log-mels, one warped in time onto the other.

S samples, T, U frames of 20 ms of the two recordings, M mel bands, P cells of the warping path.
"""

import math
from itertools import pairwise

import numpy as np

from cosy_jax.compare.extra import import_librosa
from cosy_jax.config import PromptMelConfig
from cosy_jax.prompt.features import mel_spectrogram

RATE = 24000  # Hz, of what mels and F0 are taken from
FRAME = PromptMelConfig()
RANGE_DB = 60.0  # below the loudest cell: what lies deeper is noise floor, which nobody hears
BLOCK = 1500  # frames analysed at once, here and in F0: bounds their memory

_CONTEXT = 2  # frames on either side of a block: a window reaches 1.5 frames beyond its own
_MAX_CELLS = 4_000_000  # of one cost matrix; librosa takes 20 bytes a cell


def log_mel(samples: np.ndarray, bandwidth: float) -> np.ndarray:
    """Mel float32 (S,) at 24 kHz -> float32 (T = S // 480, 80) in dB, its bands up to `bandwidth` Hz."""
    config = PromptMelConfig(fmax=min(bandwidth, RATE / 2))
    blocks = []
    for start in range(0, len(samples) // FRAME.hop, BLOCK):
        first, end = max(0, start - _CONTEXT), start + BLOCK + _CONTEXT
        mel = mel_spectrogram(samples[first * FRAME.hop : end * FRAME.hop], config, RATE)
        blocks.append(mel[start - first :][:BLOCK])
    return np.concatenate(blocks) * np.float32(20 / np.log(10))


def mel_distance(first: np.ndarray, second: np.ndarray, path: np.ndarray) -> float:
    """Mean over the path of the root mean square over bands of the difference of log-mels (T, M) and (U, M), in dB.

    What lies more than 60 dB below the loudest cell of either counts as if it lay there. Levels count: a copy 6 dB
    quieter is up to 6 dB away.
    """
    first, second = audible(first, second)
    return float(_cell_distance(first[path[:, 0]], second[path[:, 1]]).mean())


def warp(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Warping path int (P, 2), frames of log-mels (T, M) and (U, M), that has the smallest sum of cell distances.

    Steps (1, 1), (0, 1) and (1, 0). Where the cost matrix would be too large the path is first found on means of
    several frames, then anew in parts between cells of that path.
    """
    first, second = audible(first, second)
    factor = math.ceil(math.sqrt(len(first) * len(second) / _MAX_CELLS))
    if factor == 1:
        return _dtw(first, second)
    coarse = _dtw(_means(first, factor), _means(second, factor))
    step = max(1, math.isqrt(_MAX_CELLS) // factor)
    corners = [*(coarse[::step] * factor), np.array([len(first) - 1, len(second) - 1])]
    parts = [_dtw(first[i : k + 1], second[j : n + 1]) + (i, j) for (i, j), (k, n) in pairwise(corners)]
    return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])


def audible(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both, with a floor 60 dB below the loudest cell."""
    floor = max(first.max(), second.max()) - RANGE_DB
    return np.maximum(first, floor), np.maximum(second, floor)


def _cell_distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean((first - second) ** 2, axis=1))


def _dtw(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    _, path = import_librosa().sequence.dtw(first.T, second.T)
    return path[::-1]


def _means(mel: np.ndarray, factor: int) -> np.ndarray:
    """Means of `factor` frames each, the last of what is left."""
    starts = np.arange(0, len(mel), factor)
    return np.add.reduceat(mel, starts) / np.diff([*starts, len(mel)])[:, None]
