"""The signal-to-noise ratio, the one figure that every comparison here shares."""

import numpy as np


def snr_db(ours: np.ndarray, truth: np.ndarray) -> float:
    """Signal-to-noise ratio of `ours` against `truth`, of one shape, in dB; inf where they are equal."""
    truth = truth.astype(np.float64)
    error = np.sum((ours.astype(np.float64) - truth) ** 2)
    return float(10 * np.log10(np.sum(truth**2) / error)) if error else float("inf")
