"""Whether a recording is one of speech that something can be made of: refused where it cannot be, warned of where it
is heard in whatever is made.

S samples.
"""

from pathlib import Path

import numpy as np

from cosy_jax.audio.read import MAX_SECONDS, Waveform, check_audio, load_audio
from cosy_jax.compare.level import count_clipped
from cosy_jax.errors import CosyError

SHORTEST_VOICE = 0.5  # s; nothing of a voice is known from less
_GOOD_VOICE = 2.0  # s
_SILENT_RMS = 1e-3  # -60 dB of full scale
_QUIET_DB = -45.0  # of the loud frames
_CLIPPED_SHARE = 1e-3
# Between loud frames and the quietest: speech has 40 dB and more, under white noise of 8 dB SNR 15 dB are left.
_NOISY_DB = 15.0
FRAMES_A_SECOND = 50


class RecordingWarning(UserWarning):
    """A recording that something is wrong with."""


def load_speech(
    recording: str | Path | Waveform, what: str, shortest: float, max_seconds: float | None = MAX_SECONDS
) -> Waveform:
    """A file, or samples float (S,) and their rate in Hz, as float32 (S,) and that rate.

    CosyError, in which the recording is called `what`, where it cannot be read, is shorter than `shortest` seconds or
    longer than `max_seconds` (None: no limit), silent, or constant.
    """
    if isinstance(recording, str | Path):
        samples, rate = load_audio(recording, max_seconds)
    else:
        samples, rate = check_audio(*recording, max_seconds=max_seconds), recording[1]
    name = name_of(recording, what)
    if len(samples) < shortest * rate:
        raise CosyError(f"{name} is {len(samples) / rate:.3f} s long, too short: use a few seconds of speech.")
    if np.std(samples, dtype=np.float64) >= _SILENT_RMS:
        return samples, rate
    if np.abs(samples.mean(dtype=np.float64)) >= _SILENT_RMS:
        raise CosyError(f"{name} is constant, without any sound: use a recording of speech.")
    raise CosyError(f"{name} is silent (below -60 dB): use a recording of speech.")


def name_of(recording: str | Path | Waveform, what: str) -> str:
    """What to call a recording in a sentence."""
    return f"{what} '{recording}'" if isinstance(recording, str | Path) else what


def faults(samples: np.ndarray, rate: int) -> list[str]:
    """What is wrong with samples (S,), at least 20 ms and not all alike, as a voice: each the end of a sentence."""
    found = []
    if len(samples) < _GOOD_VOICE * rate:
        found.append(f"is {len(samples) / rate:.1f} s long: 3 to 10 s make a better voice")
    clipped = count_clipped(samples) / len(samples)
    if clipped > _CLIPPED_SHARE:
        found.append(f"is clipped ({clipped:.1%} of its samples): record it at a lower level")
    levels = frame_levels(samples, rate)
    quiet, loud = np.percentile(levels, (5, 95))
    if loud < _QUIET_DB:
        found.append(f"is very quiet ({loud:.0f} dB where it is loud): record it at a higher level")
    if loud - quiet < _NOISY_DB:
        found.append(f"is noisy (loud and quiet parts are {loud - quiet:.0f} dB apart): record it in a quiet place")
    return found


def frame_levels(samples: np.ndarray, rate: int) -> np.ndarray:
    """Level of each whole frame of 20 ms around its own mean, in dB of full scale, (S // (rate // 50),)."""
    size = rate // FRAMES_A_SECOND
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    return 20 * np.log10(np.maximum(frames.std(axis=1, dtype=np.float64), 1e-9))
