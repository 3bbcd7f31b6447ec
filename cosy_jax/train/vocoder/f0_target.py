"""F0 targets by WORLD (https://doi.org/10.1587/transinf.2015EDP7457), an extra.

S samples, T mel frames.
"""

import numpy as np

from cosy_jax.audio.world import import_pyworld

_LEAST_VOICED = 5  # frames that harvest has to find, or dio is asked


def f0_target(speech: np.ndarray, frames: int, rate: int, hop: int, fast: bool = False) -> np.ndarray:
    """F0 in Hz of audio (S,) at `rate` Hz, 0 where unvoiced: float32 (T = `frames`), one a `hop` of samples. `fast`
    leaves harvest out, which takes a third of the audio's duration, for dio, which takes a seventieth.

    WORLD's F0 of a frame more, interpolated to T: next to an unvoiced frame values fall towards 0. CosyError where
    pyworld is not installed. Reference: cosyvoice/dataset/processor.py, compute_f0.
    """
    world = import_pyworld("F0 targets of the vocoder's training", "train")
    samples, period = speech.astype(np.float64), hop * 1000 / rate
    if not fast:
        f0, times = world.harvest(samples, rate, frame_period=period)
    if fast or np.count_nonzero(f0) < _LEAST_VOICED:
        f0, times = world.dio(samples, rate, frame_period=period)
    return _resize(world.stonemask(samples, f0, times, rate), frames).astype(np.float32)


def _resize(values: np.ndarray, size: int) -> np.ndarray:
    """Linear interpolation to another length, the ends of both being those of the first and last cell."""
    places = (np.arange(size) + 0.5) * (len(values) / size) - 0.5
    return np.interp(places, np.arange(len(values)), values)
