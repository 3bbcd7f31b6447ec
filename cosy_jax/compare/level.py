"""How loud one recording is, and what is wrong with it.

S samples. Levels are in dB of full scale: a sine that touches 1.0 has a peak of 0 dBFS and an RMS of -3 dBFS.
"""

from typing import NamedTuple

import numpy as np

CLIPPED_AT = 0.999  # of full scale
FLAT_AT = 0.98  # two equal samples above it: the vocoder limits at 0.99, below full scale
SILENT_DB = -50.0  # of the loudest frame
_FRAMES_A_SECOND = 100


class Level(NamedTuple):
    """`measure_level`'s figures."""

    rate: int  # Hz
    seconds: float
    rms_db: float  # dBFS
    peak_db: float  # dBFS
    dc: float  # mean, of full scale
    clipped: int  # samples
    head_silence: float  # s
    tail_silence: float  # s


def measure_level(samples: np.ndarray, rate: int) -> Level:
    """Figures of samples float (S,) in [-1, 1] at `rate` Hz, at least 10 ms and not all zero."""
    wide = samples.astype(np.float64)
    rms, peak = np.sqrt(np.mean(wide**2)), np.abs(wide).max()
    return Level(
        rate,
        len(samples) / rate,
        to_db(rms),
        to_db(peak),
        float(wide.mean()),
        count_clipped(samples),
        *silence(wide, rate),
    )


def to_db(amplitude: float) -> float:
    return float(20 * np.log10(amplitude))


def count_clipped(samples: np.ndarray) -> int:
    """Samples that, with a neighbour, reach 0.999 of full scale, or equal it exactly from 0.98 on."""
    size = np.abs(samples)
    lower = np.minimum(size[1:], size[:-1])
    pair = (lower >= CLIPPED_AT) | ((lower >= FLAT_AT) & (samples[1:] == samples[:-1]))
    return int(np.sum(np.append(pair, False) | np.append(False, pair)))


def silence(samples: np.ndarray, rate: int) -> tuple[float, float]:
    """Seconds at head and tail whose frames of 10 ms lie 50 dB or more below the loudest frame.

    A frame's level is its RMS around its own mean, so that a constant offset counts as silence.
    """
    size = rate // _FRAMES_A_SECOND
    level = samples[: len(samples) // size * size].reshape(-1, size).std(axis=1)
    loud = np.flatnonzero(level >= level.max() * 10 ** (SILENT_DB / 20))
    return float(loud[0] * size / rate), float((len(level) - 1 - loud[-1]) * size / rate)
