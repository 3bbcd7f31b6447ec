"""Two recordings as waveforms: how far one lags behind the other, and what is left of it as noise.

S, R samples of the two.
"""

from typing import NamedTuple

import numpy as np

from cosy_jax.compare.level import to_db
from cosy_jax.compare.snr import snr_db


class Alignment(NamedTuple):
    """`align`'s figures, over the samples that the two have in common once they are aligned."""

    lag: int  # samples by which the second comes later
    snr_db: float  # inf where they are equal
    matched_snr_db: float  # once the first is scaled by the gain
    gain_db: float  # of the second against the first, by least squares
    correlation: float  # negative: the polarity is inverted


def align(first: np.ndarray, second: np.ndarray) -> Alignment:
    """Aligns float (S,) and (R,) of one rate, neither silent, by the largest magnitude of their cross-correlation.

    Whole samples only: a delay of half a sample is found as noise.
    """
    from scipy.signal import correlate

    products = correlate(second.astype(np.float32), first.astype(np.float32), method="fft")
    lag = int(np.argmax(np.abs(products))) - (len(first) - 1)
    x, y = overlap(first.astype(np.float64), second.astype(np.float64), lag)
    gain = (x @ y) / (x @ x)
    correlation = (x @ y) / np.sqrt((x @ x) * (y @ y))
    return Alignment(lag, snr_db(y, x), snr_db(y, gain * x), to_db(abs(gain)), float(correlation))


def overlap(first: np.ndarray, second: np.ndarray, lag: int) -> tuple[np.ndarray, np.ndarray]:
    """What the two have in common, equally long, where the second comes `lag` samples later."""
    first, second = first[max(0, -lag) :], second[max(0, lag) :]
    length = min(len(first), len(second))
    return first[:length], second[:length]
