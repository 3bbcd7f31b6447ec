"""Writes audio files, whole or not at all, and raw PCM."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from cosy_jax.errors import CosyError

_FORMATS = {".wav": "WAV", ".flac": "FLAC"}


def write_audio(path: str | Path, samples: np.ndarray, sample_rate: int) -> None:
    """Write float32 (S,) in [-1, 1] as 16-bit PCM; the format follows the suffix, .wav or .flac.

    The file appears under its name when it is complete. CosyError for another suffix or a failed write.
    """
    write_pieces(path, [samples], sample_rate)


def write_pieces(path: str | Path, pieces: Iterable[np.ndarray], sample_rate: int) -> None:
    """As `write_audio`, for pieces as they come. Where they end in an error, what came before it is kept in the file
    and the error raised; without a single piece there is no file."""
    path = Path(path)
    check_suffix(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    written = 0
    try:
        with audio_file(temporary, path, sample_rate) as file:
            for piece in pieces:
                file.write(piece)
                written += len(piece)
    finally:
        if written:
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        Path(temporary).unlink(missing_ok=True)


@contextmanager
def audio_file(temporary: str | Path, path: str | Path, sample_rate: int) -> Iterator[soundfile.SoundFile]:
    """`temporary`, open for samples float32 (S,) in [-1, 1], in the format that the suffix of `path` says.

    CosyError, which names `path`, where not all of it could be written.
    """
    path = Path(path)
    try:
        kind = _FORMATS[path.suffix.lower()]
        with soundfile.SoundFile(temporary, "w", sample_rate, 1, "PCM_16", format=kind) as file:
            yield file
            frames = file.frames
        # libsndfile is silent where only the end of a FLAC finds no room.
        if frames and soundfile.info(temporary).frames != frames:
            raise CosyError(f"Cannot write {path}: its end is missing, the disk may be full.")
    except (OSError, soundfile.LibsndfileError) as error:
        raise CosyError(f"Cannot write {path}: {str(error).rstrip('.')}.") from error


def check_suffix(path: str | Path) -> None:
    """CosyError unless the file's name says a format that can be written."""
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise CosyError(f"Unknown audio suffix '{path.suffix}' of {path.name}: use .wav or .flac.")


def write_pcm(stream: BinaryIO, pieces: Iterable[np.ndarray]) -> None:
    """Raw 16-bit little-endian PCM of float32 pieces in [-1, 1], flushed piece by piece."""
    for piece in pieces:
        stream.write((np.clip(piece, -1, 1) * 32767).round().astype("<i2").tobytes())
        stream.flush()
