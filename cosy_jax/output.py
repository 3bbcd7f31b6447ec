"""Writes audio files whole or not at all."""

import os
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from cosy_jax.errors import CosyError

_FORMATS = {".wav": "WAV", ".flac": "FLAC"}


def check_writable(path: str | Path) -> None:
    """CosyError where nothing can be written at `path`; called before the work, not after it."""
    path = Path(path)
    if path.is_dir():
        raise CosyError(f"{path} is a folder: name a file.")
    if not path.parent.is_dir():
        raise CosyError(f"The folder {path.parent} does not exist: create it first.")
    try:
        handle, name = tempfile.mkstemp(dir=path.parent)
    except OSError as error:
        raise CosyError(f"Cannot write into {path.parent}: {error.strerror}.") from error
    os.close(handle)
    os.unlink(name)


def write_audio(path: str | Path, samples: np.ndarray, sample_rate: int) -> None:
    """Write float32 (S,) in [-1, 1] as 16-bit PCM; the format follows the suffix, .wav or .flac.

    The file appears under its name when it is complete. CosyError for another suffix or a failed write.
    """
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise CosyError(f"Unknown audio suffix '{path.suffix}' of {path.name}: use .wav or .flac.")
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        soundfile.write(temporary, samples, sample_rate, "PCM_16", format=_FORMATS[path.suffix.lower()])
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except (OSError, soundfile.LibsndfileError) as error:
        raise CosyError(f"Cannot write {path}: {error}.") from error
    finally:
        Path(temporary).unlink(missing_ok=True)
