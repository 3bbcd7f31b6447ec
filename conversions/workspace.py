"""A hidden folder beside what is being written, which no death of the process leaves behind for good.

An exception removes it, and SIGTERM and SIGHUP become one. SIGKILL cannot, so that the next process that writes to the
same place does: a lock tells the folders of living processes from the others.
"""

import fcntl
import glob
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

NEW, OLD = "new", "old"
_LOCK = "cosy_jax.lock"
_RANDOM = "????????"  # what `mkdtemp` puts behind its prefix


@contextmanager
def workspace(destination: Path) -> Iterator[Path]:
    """A folder beside `destination` for what is new and what it replaces; OSError where there can be none.

    What killed processes left of theirs is removed first.
    """
    _sweep(destination)
    with _ended_by_signals():
        folder = Path(tempfile.mkdtemp(prefix=f".{destination.name}-", dir=destination.parent))
        try:
            with _held(folder):
                yield folder
        finally:
            _remove(folder)


def _sweep(destination: Path) -> None:
    pattern = f".{glob.escape(destination.name)}-{_RANDOM}"
    for folder in destination.parent.glob(pattern):
        # OSError where its process lives, and where somebody else removes it now.
        with suppress(OSError), open(folder / _LOCK, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if {path.name for path in folder.iterdir()} <= {NEW, OLD, _LOCK}:
                _put_back(folder / OLD, destination)
                _remove(folder)


def _put_back(old: Path, destination: Path) -> None:
    """Undoes what was begun where the process was killed between the two renamings."""
    if old.is_dir() and not destination.exists():
        old.rename(destination)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    handle, name = tempfile.mkstemp(dir=folder)
    try:
        with suppress(OSError):  # some network file systems know no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        os.rename(name, folder / _LOCK)  # it has its name once it is locked: nobody takes it for a dead one's
        yield
    finally:
        os.close(handle)


def _remove(folder: Path) -> None:
    for name in (NEW, OLD):  # the lock last: what is left of an interrupted removal can then be swept
        shutil.rmtree(folder / name, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Inside the block, SIGTERM and SIGHUP raise SystemExit where they would end the process without cleaning up.

    A program that handles them, or ignores them, goes on doing so.
    """
    taken = []
    if threading.current_thread() is threading.main_thread():
        taken = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]

    def end(number: int, _: FrameType | None) -> None:
        for other in taken:
            signal.signal(other, signal.SIG_IGN)  # the first is enough
        raise SystemExit(128 + number)

    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
