"""A release from a hub to converted weights, in steps that a next call goes on with.

The released files are kept in OUT.source, beside the weights OUT, until those are written; a lock there marks the
folder as ours, and keeps two downloads apart.
"""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cosy_jax.checkpoint.integrity import check_complete, open_folder
from cosy_jax.checkpoint.reader import read_manifest
from cosy_jax.conversions.convert import Report, convert
from cosy_jax.conversions.output import check_output
from cosy_jax.conversions.release_files import release_files
from cosy_jax.errors import CosyError
from cosy_jax.hub.load import load_file, present_bytes
from cosy_jax.hub.names import repository
from cosy_jax.hub.remote import DroppedError, Hub, RemoteFile

_LOCK = "cosy_jax.lock"

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Release:
    """What is to be downloaded: the files that conversion reads, as the hub lists them at a revision."""

    repository: str
    revision: str
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(file.size for file in self.files)


def look_up(hub: Hub, name: str, revision: str | None = None) -> Release:
    """The release of this name on the hub. CosyError where there is none, or it cannot be reached."""
    full = repository(name)
    try:
        listing = hub.listing(full, revision)
    except DroppedError as error:
        raise CosyError(f"{hub.title} cannot be reached ({error}): check the network, and run it again.") from error
    names, missing = release_files(listing.files.__contains__)
    if missing:
        raise CosyError(f"{full} on {hub.title} is no CosyVoice 3 release: it lacks {', '.join(missing)}.")
    return Release(full, listing.revision, tuple(listing.files[name] for name in names))


def source_folder(out: Path) -> Path:
    """Where the released files are, of weights at `out`."""
    place = out.resolve()
    return place.with_name(f"{place.name}.source")


def download(hub: Hub, release: Release, out: Path, dtype: str, keep_source: bool, progress: Progress) -> Report | None:
    """Downloads what is not there yet and converts it to `out`; None where `out` was made of the same files.

    `progress` is told (file, bytes done, bytes in all), and a note on any error says what stays. `keep_source` leaves
    the released files in `source_folder(out)`. CosyError as `load_file` and `convert`, and where another download to
    `out` goes on or there is no room.
    """
    out = out.resolve()
    check_output(out)
    if not keep_source and _is_made_of(out, release, dtype):
        return None
    with _held(source_folder(out)) as source:
        _check_room(source, release)
        for file in release.files:
            load_file(hub, release.repository, release.revision, file, source, _teller(progress, file))
        report = convert(source, out, dtype=dtype, progress=progress)
        if not keep_source:
            shutil.rmtree(source)
    return report


def _teller(progress: Progress, file: RemoteFile) -> Callable[[int], None]:
    return lambda done: progress(file.path, done, file.size)


def _is_made_of(out: Path, release: Release, dtype: str) -> bool:
    """Whether the folder is a whole conversion of these files. Of those that have git's digest only, the sizes tell."""
    try:
        open_folder(out)
        check_complete(out)
        manifest = read_manifest(out)
    except CosyError:
        return False
    sources = manifest.sources
    return (
        manifest.dtype == dtype
        and sources.keys() == {file.path for file in release.files}
        and all(sources[file.path].bytes == file.size for file in release.files)
        and all(file.git or sources[file.path].sha256 == file.digest for file in release.files)
    )


@contextmanager
def _held(folder: Path) -> Iterator[Path]:
    """The folder for the released files, ours alone. What is in it stays where the block fails, and a note says so."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not (folder / _LOCK).is_file():
            raise CosyError(f"{folder} holds files that no download has written: choose another place.")
        lock = (folder / _LOCK).open("ab")
    except OSError as error:
        raise CosyError(f"{folder} cannot be written ({error.strerror}): choose another place.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CosyError(f"Another download to {folder} goes on: wait for it.") from error
        except OSError:  # some network file systems know no locks
            pass
        if not os.fstat(lock.fileno()).st_nlink:
            raise CosyError(f"Another download to {folder} has just ended: run it again.")
        try:
            yield folder
        except BaseException as error:
            error.add_note(f"what was downloaded stays in {folder}, and the same command goes on")
            raise


def _check_room(folder: Path, release: Release) -> None:
    """CosyError where the disk has no room for what is still to come."""
    missing = release.size - sum(present_bytes(file, folder) for file in release.files)
    free = shutil.disk_usage(folder).free
    if missing > free:
        raise CosyError(
            f"{folder} has room for {free / 1e6:,.1f} MB, and {missing / 1e6:,.1f} MB are to come: make room, or "
            "choose another place."
        )
