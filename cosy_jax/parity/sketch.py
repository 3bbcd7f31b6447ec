"""Large tensors of a training step in few numbers, from which the size of an error can be told, and random weights
that need not be stored; as `conversions/capture/training/sketch.py`, which runs where nothing of ours is, has them.

N values of a tensor, P projections.
"""

import zlib

import numpy as np

PROJECTIONS = 16


def sketch(name: str, values: np.ndarray) -> np.ndarray:
    """Sums of the values (N) under P rows of random signs that the name decides: float64 (P,).

    The mean square of a sketch is an unbiased estimate of the sum of the squares of the values, and the sketch of a
    difference is the difference of the sketches (Alon, Matias and Szegedy, 1996). Signs are numpy's RandomState's,
    whose numbers never change from one version to the next.
    """
    flat = np.asarray(values, np.float64).ravel()
    random = _generator(name)
    rows = []
    for _ in range(PROJECTIONS):
        bits = np.unpackbits(np.frombuffer(random.bytes(-(-flat.size // 8)), np.uint8), count=flat.size)
        rows.append(flat @ np.where(bits, 1.0, -1.0))
    return np.asarray(rows)


def seeded_weights(name: str, shape: tuple[int, ...], fan_in: int) -> np.ndarray:
    """A fresh layer's values, uniform within 1 / sqrt(fan_in), that the name decides: float32."""
    values = _generator(name).uniform(-1.0, 1.0, shape) / np.sqrt(fan_in)
    return values.astype(np.float32)


def _generator(name: str) -> np.random.RandomState:
    return np.random.RandomState(zlib.crc32(name.encode()))
