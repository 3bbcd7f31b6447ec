"""Writes files whole or not at all.

What is being written has a hidden name that begins with `.cosy_jax-` and is locked as long as its process lives: of a
process that was killed, the next one to write into the folder removes it. Permissions are what the umask leaves.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from cosy_jax.errors import CosyError

_HIDDEN = ".cosy_jax-"
_LONGEST_NAME = 255  # bytes, on every file system in use
_GRACE = 60.0  # seconds in which an empty file may belong to a process that has not locked it yet


def home() -> Path | None:
    """The user's home folder; None where nobody knows it, as for a user id without an account."""
    with suppress(RuntimeError):
        return Path.home()
    return None


def data_folder(kind: str) -> Path | None:
    """Where the user's own things of a kind are kept, ~/.local/share/cosy_jax/KIND; None without a home."""
    return folder / ".local" / "share" / "cosy_jax" / kind if (folder := home()) else None


def check_writable(path: str | Path) -> None:
    """CosyError where nothing can be written at `path`; called before the work, not after it."""
    path = Path(path)
    try:
        with suppress(FileNotFoundError):
            path.stat()  # tells of a name that is too long
        if path.is_dir():
            raise CosyError(f"{path} is a folder: name a file.")
        if not path.parent.is_dir():
            raise CosyError(f"The folder {path.parent} does not exist: create it first.")
        trial = _hidden(path.parent)
        try:
            trial.touch(exist_ok=False)
        finally:
            trial.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: str | Path, error: OSError) -> CosyError:
    """The sentence for a write that failed."""
    return CosyError(f"Cannot write {path}: {error.strerror}.")


@contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """An open hidden file that takes the name `path` when the block ends well; else nothing is left of it. CosyError
    for a failed write."""
    path = Path(path)
    hidden = _hidden(path.parent)
    try:
        _sweep(path.parent)
        with open(hidden, "xb") as file:
            with suppress(OSError):  # some network file systems know no locks
                fcntl.flock(file, fcntl.LOCK_EX)
            yield file
            file.flush()
            os.replace(hidden, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            hidden.unlink()


def write_whole(path: Path, content: bytes) -> None:
    """`content` as a file that appears under its name when it is complete; missing folders are created. CosyError for
    a failed write."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CosyError(f"Cannot write into {path.parent}: {error.strerror}.") from error
    with whole_file(path) as file:
        file.write(content)


@contextmanager
def growing_file(path: str | Path) -> Iterator[FileIO]:
    """An open file beside `path` that anybody may read while it grows, `a.part.wav` for `a.wav`; it takes the name
    `path` when the block ends well.

    Otherwise it stays, a note on the error tells its name, and what `path` held is as it was. CosyError for a failed
    write.
    """
    try:
        file = _new_part(Path(path))
    except OSError as error:
        raise cannot_write(path, error) from error
    note = f"what was made until then is in {file.name}"
    try:
        with file:
            yield file
            os.replace(file.name, path)
    except OSError as error:
        failure = cannot_write(path, error)
        failure.add_note(note)
        raise failure from error
    except BaseException as error:
        error.add_note(note)
        raise


def write_all(file: FileIO, content: bytes) -> None:
    """All of `content` into a file without buffer, which may take a part at a time; OSError where it cannot."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _new_part(path: Path) -> FileIO:
    """A new file beside `path`, of the first name that is free, without buffer: closing it can then not fail."""
    number = 1
    while True:
        end = f".part{path.suffix}" if number == 1 else f".part-{number}{path.suffix}"
        stem = path.stem.encode("utf-8", "surrogateescape")[: _LONGEST_NAME - len(os.fsencode(end))]
        try:
            return FileIO(path.with_name(stem.decode("utf-8", "ignore") + end), "x+")
        except FileExistsError:
            number += 1


def _hidden(folder: Path) -> Path:
    return folder / f"{_HIDDEN}{secrets.token_hex(8)}"


def _sweep(folder: Path) -> None:
    """Removes what processes that were killed have left in the folder."""
    for path in folder.glob(f"{_HIDDEN}*"):
        with suppress(OSError), path.open("rb") as file:
            found = os.fstat(file.fileno())
            if found.st_size == 0 and time.time() - found.st_mtime < _GRACE:
                continue
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # OSError where its process lives
            path.unlink()
