"""Recordings: reading and checking, on the host.

S samples.
"""

from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from cosy_jax.audio.mpeg4 import decoded, is_mpeg4
from cosy_jax.errors import CosyError

Waveform = tuple[np.ndarray, int]  # float32 (S,) in [-1, 1], and its rate in Hz

MIN_RATE = 16000  # Hz
MAX_RATE = 384000  # Hz; converters know no more, and resampling takes memory in proportion
MAX_SECONDS = 30.0  # the speech tokenizer was trained on no more

_BLOCK = 2**20  # samples of all channels that are read at a time
_MOST_CHUNKS = 1000  # in front of a WAV file's samples
_OPEN_SIZE = 0x7FFFF000  # bytes, from which on a size in a header means "until the end"
_WHOLE = 0.99  # of what a header promises; some programs count a few bytes too many
_CANCELLED = 1e-3  # of the loudest channel's energy: 30 dB below it
_SILENT = 1e-6  # of full scale, squared


def load_audio(path: str | Path, max_seconds: float | None = MAX_SECONDS) -> Waveform:
    """Read a recording, its channels averaged: float32 (S,) and the sample rate in Hz. MPEG-4 files take ffmpeg.

    CosyError if it is missing, unreadable, truncated, empty, below 16 kHz, longer than `max_seconds` (None: no limit),
    holds values that are not finite, or has channels that cancel each other.
    Reference: cosyvoice/utils/file_utils.py, load_wav.
    """
    path = Path(path)
    name = f"The recording '{path}'"
    if not path.is_file():
        raise CosyError(f"No recording at '{path}': give the path of an existing audio file.")
    try:
        if is_mpeg4(path):
            with decoded(path, name) as wav:
                return _read_file(wav, name, max_seconds)
        return _read_file(path, name, max_seconds)
    except OSError as error:
        raise CosyError(f"Cannot read '{path}': {error.strerror or error}.") from error
    except (soundfile.SoundFileError, TypeError) as error:  # the latter for names that mean samples without a header
        raise _not_audio(f"'{path}'", error) from error


def decode_audio(content: bytes, name: str = "The recording", max_seconds: float | None = MAX_SECONDS) -> Waveform:
    """What `load_audio` gives for a file of this content, which errors call `name`; errors as there."""
    try:
        _check_wav(BytesIO(content), len(content), name)
        with soundfile.SoundFile(BytesIO(content)) as file:
            return _read(file, name, max_seconds)
    except soundfile.SoundFileError as error:
        raise _not_audio(name[:1].lower() + name[1:], error) from error


def audio_format(content: bytes, name: str = "The recording") -> tuple[int, int]:
    """How many samples a channel the header of a file of this content promises, and their rate in Hz; CosyError where
    it is none of audio."""
    try:
        with soundfile.SoundFile(BytesIO(content)) as file:
            return file.frames, file.samplerate
    except soundfile.SoundFileError as error:
        raise _not_audio(name[:1].lower() + name[1:], error) from error


def _read_file(path: Path, name: str, max_seconds: float | None) -> Waveform:
    with path.open("rb") as content:
        _check_wav(content, path.stat().st_size, name)
    with soundfile.SoundFile(path) as file:
        return _read(file, name, max_seconds)


def _not_audio(name: str, error: Exception) -> CosyError:
    reason = getattr(error, "error_string", str(error))
    return CosyError(f"Cannot read {name} as audio ({reason}): convert it to WAV, FLAC, OGG or MP3.")


def _read(file: soundfile.SoundFile, name: str, max_seconds: float | None) -> Waveform:
    _check_format(file.frames, file.samplerate, name, max_seconds)
    samples, rate = _read_mono(file, name), file.samplerate
    return check_audio(samples, rate, name, max_seconds), rate


def _read_mono(file: soundfile.SoundFile, name: str) -> np.ndarray:
    """The mean of the channels, float32 (S,). Read block by block: a header may promise more than memory holds."""
    blocks: list[np.ndarray] = []
    energy, mean_energy = np.zeros(file.channels), 0.0
    while len(block := file.read(max(_BLOCK // file.channels, 1), dtype="float32", always_2d=True)):
        mean = block.mean(axis=1)
        energy += np.square(block, dtype=np.float64).sum(axis=0)
        mean_energy += np.square(mean, dtype=np.float64).sum()
        blocks.append(mean)
    samples = np.concatenate(blocks) if blocks else np.zeros(0, np.float32)
    _check_whole(len(samples), file.frames, name)
    if mean_energy < _CANCELLED * energy.max() and energy.max() > _SILENT * len(samples):
        raise CosyError(f"{name} has channels that cancel each other: use one of them, or invert the other.")
    return samples


def _check_wav(file: BinaryIO, end: int, name: str) -> None:
    """CosyError where the header of a WAV file of `end` bytes promises more than there is, of which libsndfile says
    nothing.

    One that was written as a stream has no size, or the largest there is.
    """
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return
    for _ in range(_MOST_CHUNKS):
        kind, size = file.read(4), int.from_bytes(file.read(4), "little")
        if kind == b"data" or len(kind) < 4:
            break
        file.seek(size + size % 2, 1)
    if kind == b"data" and size < _OPEN_SIZE:
        _check_whole(end - file.tell(), size, name)


def _check_whole(found: int, promised: int, name: str) -> None:
    if found < _WHOLE * promised:
        raise CosyError(f"{name} is truncated ({found / promised:.0%} of it is there): copy or record it again.")


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
    if rate > MAX_RATE:
        raise CosyError(f"{name} has a sample rate of {rate} Hz: use one of at most {MAX_RATE} Hz.")
    if length == 0:
        raise CosyError(f"{name} is empty: use one of a few seconds of speech.")
    if max_seconds is not None and length > max_seconds * rate:
        raise CosyError(f"{name} is {length / rate:.1f} s long: cut it to at most {max_seconds:.0f} s.")
