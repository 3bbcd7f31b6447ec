"""One file from a hub into a folder: continued where an earlier call was cut off, under its name once it is right."""

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cosy_jax.errors import CosyError
from cosy_jax.files import cannot_write
from cosy_jax.hub.remote import DroppedError, Hub, RemoteFile

PART = ".part"
WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before trying again; counted anew when some bytes have come

Told = Callable[[int], None]  # bytes that are there


def load_file(hub: Hub, repository: str, revision: str, file: RemoteFile, folder: Path, told: Told) -> None:
    """The file under its path in `folder`, with the hub's size and digest.

    A file that is there and right is left; a part `PATH.part` is continued, and stays where this call fails. CosyError
    where the hub cannot be reached, or holds something else than it lists, or the disk is full.
    """
    target = folder / file.path
    part = target.with_name(target.name + PART)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_file() and file.is_content_of(target):
            told(file.size)
            return
        target.unlink(missing_ok=True)
        continued = _size(part) > 0
        _fill(hub, repository, revision, file, part, told)
        if not file.is_content_of(part) and continued:  # it may have begun as another revision's
            part.unlink()
            _fill(hub, repository, revision, file, part, told)
        if not file.is_content_of(part):
            part.unlink()
            raise CosyError(
                f"{hub.title} gives {file.path} of {repository} with another digest than it lists: try again later, or "
                "another hub by --from."
            )
        part.rename(target)
    except OSError as error:
        raise cannot_write(part, error) from error


def present_bytes(file: RemoteFile, folder: Path) -> int:
    """How much of the file an earlier call has left."""
    target = folder / file.path
    return min(file.size, max(_size(target), _size(target.with_name(target.name + PART))))


def _fill(hub: Hub, repository: str, revision: str, file: RemoteFile, part: Path, told: Told) -> None:
    """Makes the part as long as the file."""
    if _size(part) > file.size:
        part.unlink()
    part.touch()
    waits = iter(WAITS)
    while (before := _size(part)) < file.size:
        try:
            _continue(hub, repository, revision, file, part, told)
        except DroppedError as error:
            if _size(part) > before:
                waits = iter(WAITS)
            if (wait := next(waits, None)) is None:
                raise CosyError(
                    f"{hub.title} broke off at {_size(part):,} of the {file.size:,} bytes of {file.path} ({error}), "
                    "again and again: check the network."
                ) from error
            time.sleep(wait)


def _continue(hub: Hub, repository: str, revision: str, file: RemoteFile, part: Path, told: Told) -> None:
    """Appends what one answer brings, at most what is missing; DroppedError where that is not all."""
    have = _size(part)
    with hub.open(repository, revision, file.path, have) as body, part.open("r+b") as out:
        if body.start not in (0, have):
            raise DroppedError("an answer for another place")
        out.seek(body.start)
        out.truncate()
        for chunk in body.chunks:
            out.write(chunk[: file.size - out.tell()])
            told(out.tell())
            if out.tell() == file.size:
                return
    raise DroppedError("the answer was too short")


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0
