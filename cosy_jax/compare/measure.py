"""The figures of audio files, each by itself and against the first.

S samples, R samples at 24 kHz, T frames of 20 ms.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cosy_jax.audio.read import Waveform, load_audio
from cosy_jax.audio.resample import resample
from cosy_jax.compare.align import Alignment, align
from cosy_jax.compare.level import Level, measure_level
from cosy_jax.compare.pitch import PitchDifference, compare_pitch, track_f0
from cosy_jax.compare.spectral import RATE, log_mel, mel_distance, warp
from cosy_jax.errors import CosyError

_MIN_SECONDS = 0.05
_INAUDIBLE = 2.0**-15  # one step of 16 bits


@dataclass(frozen=True)
class Recording:
    """One file by itself."""

    path: str
    level: Level
    wave: np.ndarray  # float32 (S,) at the file's own rate, `level.rate`
    narrow: np.ndarray  # float32 (R,) at 24 kHz
    f0: np.ndarray  # float64 (T,), Hz, NaN where unvoiced

    @property
    def voiced(self) -> float:
        """Part of the frames."""
        return float(np.mean(~np.isnan(self.f0)))

    @property
    def median_f0(self) -> float:
        """Hz over the voiced frames, NaN without any."""
        return float(np.nanmedian(self.f0)) if self.voiced else np.nan


@dataclass(frozen=True)
class Comparison:
    """A recording against the first one."""

    identical: bool  # every sample is the same
    rate: int  # Hz, the lower of the two, at which they were aligned
    alignment: Alignment
    lag_seconds: float
    mel_distance: float  # dB
    pitch: PitchDifference
    longer: float  # by which part of the first one's duration; negative: shorter


def compare_files(paths: Sequence[str], on_file: Callable[[str], None]) -> list[tuple[Recording, Comparison | None]]:
    """Every file with its comparison against the first, which has none; `on_file` is told each path in turn.

    CosyError, before the work, where a file cannot be read, is below 16 kHz, shorter than 50 ms, silent or holds
    values that are not finite.
    """
    audio = [read(path) for path in paths]
    results: list[tuple[Recording, Comparison | None]] = []
    for path, one in zip(paths, audio, strict=True):
        on_file(path)
        recording = examine(path, *one)
        results.append((recording, compare(results[0][0], recording) if results else None))
    return results


def read(path: str) -> Waveform:
    """The channels averaged, float32 (S,), and the rate in Hz."""
    samples, rate = load_audio(path, max_seconds=None)
    if len(samples) < _MIN_SECONDS * rate:
        milliseconds = len(samples) / rate * 1000
        raise CosyError(f"The recording '{path}' is {milliseconds:.0f} ms long: compare ones of at least 50 ms.")
    if np.abs(samples).max() < _INAUDIBLE:
        raise CosyError(f"The recording '{path}' is silent from end to end: give one with a signal.")
    return samples, rate


def examine(path: str, samples: np.ndarray, rate: int) -> Recording:
    """What `read` gave, by itself."""
    narrow = resample(samples, rate, RATE)
    return Recording(path, measure_level(samples, rate), samples, narrow, track_f0(narrow))


def compare(first: Recording, second: Recording) -> Comparison:
    """The second against the first, waves and mels over the band that both have."""
    rate = min(first.level.rate, second.level.rate)
    x, y = (resample(one.wave, one.level.rate, rate) for one in (first, second))
    mel_x, mel_y = (log_mel(one.narrow, rate / 2) for one in (first, second))
    path = warp(mel_x, mel_y)
    alignment = align(x, y)
    return Comparison(
        identical=np.array_equal(x, y),
        rate=rate,
        alignment=alignment,
        lag_seconds=alignment.lag / rate,
        mel_distance=mel_distance(mel_x, mel_y, path),
        pitch=compare_pitch(first.f0, second.f0, path),
        longer=second.level.seconds / first.level.seconds - 1,
    )
