"""What can be measured of a recording without knowing what it says.

S samples.
"""

import numpy as np

from cosy_jax.audio.read import load_audio
from cosy_jax.audio.world import import_pyworld
from cosy_jax.compare.level import measure_level
from cosy_jax.compare.pitch import F0_MAX, F0_MIN, cents
from cosy_jax.errors import CosyError

SHORTEST = 0.05  # s
_FRAME = 10.0  # ms, of F0
_INAUDIBLE = 2.0**-15  # one step of 16 bits

Figures = dict[str, float | int | None]


def load(path: str) -> tuple[np.ndarray, int]:
    """Samples float32 (S,) of a recording of any length, and their rate in Hz; CosyError as `load_audio`."""
    try:
        return load_audio(path, max_seconds=None)
    except OSError as error:  # such as a name that no file system takes
        raise CosyError(f"Cannot read {error.filename}: {error.strerror}.") from error


def has_sound(samples: np.ndarray, rate: int) -> bool:
    """Whether there is anything to measure in samples (S,): 50 ms or more, not silent from end to end."""
    return len(samples) >= SHORTEST * rate and bool(np.abs(samples).max() >= _INAUDIBLE)


def measure(samples: np.ndarray, rate: int) -> Figures:
    """Figures of samples float32 (S,), those that need a sound None where there is none (`has_sound`).

    seconds; head_silence, tail_silence in seconds; clipped samples; peak_db, rms_db in dBFS; voiced, the part of the
    frames; f0_median in Hz; f0_spread, the standard deviation in semitones around the median.
    """
    names = ("head_silence", "tail_silence", "clipped", "peak_db", "rms_db")
    figures: Figures = {
        "seconds": round(len(samples) / rate, 4),
        **dict.fromkeys((*names, "f0_median", "f0_spread", "voiced")),
    }
    if not has_sound(samples, rate):
        return figures
    level = measure_level(samples, rate)._asdict()
    f0 = track_f0(samples, rate)
    voiced = f0[f0 > 0]
    figures |= {name: round(level[name], 4) for name in names} | {"voiced": round(len(voiced) / len(f0), 4)}
    if len(voiced):
        median = np.median(voiced)
        spread = np.sqrt(np.mean((cents(np.full_like(voiced, median), voiced) / 100) ** 2))
        figures |= {"f0_median": round(float(median), 2), "f0_spread": round(float(spread), 3)}
    return figures


def track_f0(samples: np.ndarray, rate: int) -> np.ndarray:
    """F0 in Hz of samples (S,), one in 10 ms, 0 where unvoiced, between 60 and 500 Hz: WORLD's DIO, refined by
    StoneMask. The tracker of `compare` needs waves that repeat themselves, and finds none in voices made of diphones.
    """
    world, wide = import_pyworld("F0 and error rates", "evaluate"), samples.astype(np.float64)
    f0, times = world.dio(wide, rate, f0_floor=F0_MIN, f0_ceil=F0_MAX, frame_period=_FRAME)
    return world.stonemask(wide, f0, times, rate)
