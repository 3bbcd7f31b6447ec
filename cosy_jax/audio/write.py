"""Writes audio files, whole or growing, and raw PCM.

S samples, float32 in [-1, 1].
"""

import io
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soundfile

from cosy_jax.errors import CosyError
from cosy_jax.files import cannot_write, growing_file, whole_file, write_all


class _Format(NamedTuple):
    """What libsndfile calls it."""

    kind: str
    subtype: str


_FORMATS = {
    ".wav": _Format("WAV", "PCM_16"),
    ".flac": _Format("FLAC", "PCM_16"),
    ".mp3": _Format("MP3", "MPEG_LAYER_III"),
    ".ogg": _Format("OGG", "OPUS"),
    ".opus": _Format("OGG", "OPUS"),
}
SUFFIXES = ", ".join(_FORMATS)
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")  # of a WAV file
_OPEN = 0xFFFFFFFF  # a size that is not known yet
_PROBE = 1 << 20  # bytes


def write_audio(path: str | Path, samples: np.ndarray, sample_rate: int) -> None:
    """Write (S,) in the format that the suffix says: .wav and .flac in 16 bits, .mp3, or Opus in .ogg and .opus.

    The file appears under its name when it is complete. CosyError for another suffix or a failed write.
    """
    with whole_audio(path, sample_rate) as audio:
        audio.write(samples)


@contextmanager
def whole_audio(path: str | Path, sample_rate: int) -> Iterator[soundfile.SoundFile]:
    """`write_audio` for samples (S,) that come one part after the other: the file appears when the block ends well."""
    check_suffix(path)
    with whole_file(path) as file, audio_file(file.name, path, sample_rate) as audio:
        yield audio


def write_pieces(path: str | Path, pieces: Iterable[np.ndarray], sample_rate: int) -> None:
    """As `write_audio`, for pieces as they come: the file grows under another name (`files.growing_file`), and a WAV
    can be played meanwhile. Without a single piece there is no file, and what the pieces raise is raised."""
    check_suffix(path)
    pieces = iter(pieces)
    first = next(pieces, None)
    if first is None:
        return
    with growing_file(path) as file, _growing_audio(file, path, sample_rate) as audio:
        for piece in chain([first], pieces):
            audio.write(piece)


@contextmanager
def audio_file(temporary: str | Path, path: str | Path, sample_rate: int) -> Iterator[soundfile.SoundFile]:
    """`temporary`, open for samples (S,), in the format that the suffix of `path` says.

    CosyError, which names `path`, where not all of it could be written.
    """
    name, form = os.fsencode(temporary), _format(path)
    try:
        with soundfile.SoundFile(name, "w", sample_rate, 1, form.subtype, format=form.kind) as file:
            yield file
            frames = file.frames
        # libsndfile is silent where only the end finds no room.
        if frames and soundfile.info(name).frames != frames:
            raise CosyError(f"Cannot write {path}: its end is missing, the disk may be full.")
    except soundfile.LibsndfileError as error:
        raise CosyError(f"Cannot write {path}: {_reason(name) or error.error_string.rstrip('.')}.") from error
    except OSError as error:
        raise cannot_write(path, error) from error


def _reason(name: bytes) -> str:
    """Why a file cannot grow, in the system's words, which libsndfile keeps to itself; "" where it can."""
    try:
        with open(name, "ab") as file:
            file.write(bytes(_PROBE))
    except OSError as error:
        return str(error.strerror)
    return ""


def audio_bytes(path: str | Path, samples: np.ndarray, sample_rate: int) -> bytes:
    """What `write_audio` puts into a file, (S,) in the format that the suffix of `path` says; CosyError for another.

    The same samples give the same bytes, but for Opus: each Ogg stream has a random number of its own.
    """
    form, file = _format(path), io.BytesIO()
    soundfile.write(file, samples, sample_rate, form.subtype, format=form.kind)
    return file.getvalue()


class _GrowingWav:
    """16-bit WAV whose sizes stay open until it is closed: what is there can be played meanwhile."""

    def __init__(self, file: io.FileIO, sample_rate: int) -> None:
        self._file, self._rate = file, sample_rate
        self._write_header(_OPEN)

    def write(self, samples: np.ndarray) -> None:
        """Appends (S,)."""
        write_all(self._file, pcm16(samples))

    def close(self) -> None:
        """Fills the sizes in."""
        written = self._file.seek(0, io.SEEK_END) - _HEADER.size
        self._file.seek(0)
        self._write_header(written)

    def _write_header(self, data: int) -> None:
        write_all(self._file, wav_header(self._rate, data))


def wav_header(sample_rate: int, data: int = _OPEN) -> bytes:
    """The header of a 16-bit mono WAV of so many bytes of samples; open, for players that read until the end."""
    whole = min(data + _HEADER.size - 8, _OPEN)
    kind = (16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)  # of 16 bytes, PCM, mono, 2 bytes and 16 bits a sample
    return _HEADER.pack(b"RIFF", whole, b"WAVE", b"fmt ", *kind, b"data", data)


@contextmanager
def _growing_audio(
    file: io.FileIO, path: str | Path, sample_rate: int
) -> "Iterator[_GrowingWav | soundfile.SoundFile]":
    """The open file for samples (S,), in the format that the suffix of `path` says."""
    if _format(path).kind == "WAV":
        wav = _GrowingWav(file, sample_rate)
        try:
            yield wav
        finally:
            wav.close()
        return
    with audio_file(file.name, path, sample_rate) as other:
        yield other


def check_suffix(path: str | Path) -> None:
    """CosyError unless the file's name says a format that can be written."""
    _format(path)


def _format(path: str | Path) -> _Format:
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        raise CosyError(f"Unknown audio suffix '{path.suffix}' of {path.name}: use one of {SUFFIXES}.")
    return _FORMATS[path.suffix.lower()]


def write_pcm(stream: BinaryIO, pieces: Iterable[np.ndarray]) -> None:
    """Raw 16-bit little-endian PCM of pieces (S,), flushed piece by piece."""
    for piece in pieces:
        stream.write(pcm16(piece))
        stream.flush()


def pcm16(samples: np.ndarray) -> bytes:
    """Samples (S,) as 16-bit little-endian PCM, as libsndfile writes them to files."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 1, "PCM_16", endian="LITTLE", format="RAW")
    return buffer.getvalue()
