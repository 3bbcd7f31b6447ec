"""What can be measured of a recording without knowing what it says.

S samples.
"""

import numpy as np

from cosy_jax.audio.read import load_audio
from cosy_jax.audio.resample import resample
from cosy_jax.compare.level import measure_level
from cosy_jax.compare.pitch import cents, track_f0
from cosy_jax.compare.spectral import RATE

SHORTEST = 0.05  # s; F0 needs a window of 40 ms
_INAUDIBLE = 2.0**-15  # one step of 16 bits

Figures = dict[str, float | int | None]


def load(path: str) -> tuple[np.ndarray, int]:
    """Samples float32 (S,) of a recording of any length, and their rate in Hz; CosyError as `load_audio`."""
    return load_audio(path, max_seconds=None)


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
    f0 = track_f0(resample(samples, rate, RATE))
    voiced = f0[~np.isnan(f0)]
    figures |= {name: round(level[name], 4) for name in names} | {"voiced": round(len(voiced) / len(f0), 4)}
    if len(voiced):
        median = np.median(voiced)
        spread = np.sqrt(np.mean((cents(np.full_like(voiced, median), voiced) / 100) ** 2))
        figures |= {"f0_median": round(float(median), 2), "f0_spread": round(float(spread), 3)}
    return figures
