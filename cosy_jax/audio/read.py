"""Recordings: reading and checking, on the host.

S samples.
"""

from pathlib import Path

import numpy as np
import soundfile

from cosy_jax.errors import CosyError

Waveform = tuple[np.ndarray, int]  # float32 (S,) in [-1, 1], and its rate in Hz

MIN_RATE = 16000  # Hz
MAX_SECONDS = 30.0  # the speech tokenizer was trained on no more


def load_audio(path: str | Path, max_seconds: float | None = MAX_SECONDS) -> Waveform:
    """Read a recording, its channels averaged: float32 (S,) and the sample rate in Hz.

    CosyError if it is missing, unreadable, empty, below 16 kHz, longer than `max_seconds` (None: no limit) or holds
    values that are not finite.
    Reference: cosyvoice/utils/file_utils.py, load_wav.
    """
    path = Path(path)
    if not path.is_file():
        raise CosyError(f"No recording at '{path}': give the path of an existing audio file.")
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            _check_format(file.frames, rate, f"The recording '{path}'", max_seconds)
            samples = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise CosyError(
            f"Cannot read '{path}' as audio ({error.error_string}): convert it to WAV, FLAC, OGG or MP3."
        ) from error
    return check_audio(samples.mean(axis=1), rate, f"The recording '{path}'", max_seconds), rate


def check_audio(
    samples: np.ndarray, rate: int, name: str = "The recording", max_seconds: float | None = MAX_SECONDS
) -> np.ndarray:
    """The samples (S,) as float32; CosyError, beginning with `name`, for what no prompt can be made from, or what is
    longer than `max_seconds` (None: no limit)."""
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise CosyError(f"{name} has shape {samples.shape}: pass one channel as a one-dimensional array.")
    if not np.issubdtype(samples.dtype, np.floating):
        raise CosyError(f"{name} holds {samples.dtype} samples: scale them to floats between -1 and 1.")
    _check_format(len(samples), rate, name, max_seconds)
    if not np.isfinite(samples).all():
        raise CosyError(f"{name} contains NaN or infinite samples: record or export it again.")
    return samples.astype(np.float32)


def _check_format(length: int, rate: int, name: str, max_seconds: float | None) -> None:
    if rate < MIN_RATE:
        raise CosyError(f"{name} has a sample rate of {rate} Hz: use one of at least {MIN_RATE} Hz.")
    if length == 0:
        raise CosyError(f"{name} is empty: use one of a few seconds of speech.")
    if max_seconds is not None and length > max_seconds * rate:
        raise CosyError(f"{name} is {length / rate:.1f} s long: cut it to at most {max_seconds:.0f} s.")
