"""The results files of a folder, and which processes hold them.

A run holds its own file for as long as it goes on. There is no file for the lock of the folder itself: `flock` works on
the files of a network share, where shards on several machines write into one folder, but not on a folder.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from pathlib import Path

from cosy_jax.errors import CosyError

_NAME = re.compile(r"results(?:-\d+-of-(\d+))?\.jsonl")


def results_path(folder: Path, num_shards: int, shard_index: int) -> Path:
    """Where a shard writes what became of its lines."""
    return folder / ("results.jsonl" if num_shards == 1 else f"results-{shard_index}-of-{num_shards}.jsonl")


def results_files(folder: Path) -> Iterator[tuple[Path, int]]:
    """The results files that are there, each with the number of shards that it belongs to."""
    for path in sorted(folder.glob("results*.jsonl")):
        if name := _NAME.fullmatch(path.name):
            yield path, int(name[1] or 1)


def hold(path: Path, num_shards: int) -> int:
    """A descriptor to append to a results file, which no other process has as long as it is open; the file and its
    folder are created where needed.

    CosyError where that cannot be, another process has it, or a run with another number of shards has one of the
    folder: the two would speak the same lines.
    """
    _refuse_other_sharding(path.parent, num_shards)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise CosyError(f"Cannot write {path}: {error.strerror}.") from error
    try:
        if not _lock(file, fcntl.LOCK_EX):
            raise CosyError(f"Another process writes {path}: wait for it, or name another folder.")
        _refuse_other_sharding(path.parent, num_shards)  # of two that start at once, at least one sees the other
    except CosyError:
        os.close(file)
        raise
    return file


def _refuse_other_sharding(folder: Path, num_shards: int) -> None:
    for path, shards in results_files(folder):
        if shards != num_shards and _is_held(path):
            raise CosyError(
                f"A run with {shards} shards, not {num_shards}, fills {folder}: wait for it, split the manifest as it "
                "does, or name another folder."
            )


def _is_held(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for its writer
    except OSError:
        return False  # reading it says what is wrong
    try:
        return not _lock(file, fcntl.LOCK_SH)
    finally:
        os.close(file)


def _lock(file: int, kind: int) -> bool:
    """False where another process has a lock that excludes this one."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
