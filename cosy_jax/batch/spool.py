"""A manifest that comes through a pipe, such as `/dev/stdin` or `<(...)`: it is read more than once."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from cosy_jax.errors import CosyError

_CHUNK = 1 << 20  # bytes
_STREAMS = (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))  # where the names of open files are


@contextmanager
def readable_again(path: str | Path) -> Iterator[tuple[Path, Path]]:
    """A file with the content of `path` that can be opened any number of times, and the folder that relative paths in
    it count from: those of `path` itself, or a copy, which is gone afterwards, and the working directory.

    CosyError where the pipe cannot be read, or the temporary folder has no room for its content.
    """
    path = Path(path)
    if not _is_stream(path):
        yield path, path.parent
        return
    with NamedTemporaryFile(prefix="cosy_jax-manifest-") as copy:
        _copy(path, copy)
        yield Path(copy.name), Path()


def _is_stream(path: Path) -> bool:
    try:
        kind = path.stat().st_mode
    except OSError:
        return False  # opening it says what is wrong
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)) or path.parent in _STREAMS


def _copy(path: Path, copy: IO[bytes]) -> None:
    try:
        with path.open("rb") as pipe:
            while chunk := pipe.read(_CHUNK):
                _write(copy, chunk)
    except OSError as error:
        raise CosyError(f"Cannot read the manifest {path}: {error.strerror}.") from error


def _write(copy: IO[bytes], chunk: bytes) -> None:
    try:
        copy.write(chunk)
        copy.flush()
    except OSError as error:
        folder = os.path.dirname(copy.name)
        raise CosyError(
            f"Cannot keep the manifest in {folder} ({error.strerror}): name another folder with TMPDIR."
        ) from error
