"""Where a run on a cluster writes: a folder that all nodes share, or an address that fsspec knows, such as s3://...

What is written is whole or not there, and a second writer of the same content does no harm.
"""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cosy_jax.errors import CosyError
from cosy_jax.files import cannot_write

_STAGING = ".cosy_jax-staging"
_LOCK = ".cosy_jax-lock"


@dataclass(frozen=True)
class LocalFolder:
    """A folder at the same path on every node."""

    root: Path

    def write(self, name: str, content: bytes) -> None:
        """A file of this content; CosyError where it cannot be written."""
        # Not `files.whole_file`, which looks through the folder at each write: here it may hold millions of files.
        target, staged = self.root / name, self.root / _STAGING / secrets.token_hex(16)
        try:
            for folder in {target.parent, staged.parent}:
                folder.mkdir(parents=True, exist_ok=True)
            staged.write_bytes(content)
            os.replace(staged, target)
        except OSError as error:
            with suppress(OSError):
                staged.unlink()
            raise cannot_write(target, error) from error

    def read(self, name: str) -> bytes:
        """A file's content; CosyError where it cannot be read."""
        try:
            return (self.root / name).read_bytes()
        except OSError as error:
            raise CosyError(f"Cannot read {self.root / name}: {error.strerror}.") from error

    def remove(self, name: str) -> None:
        """A file that is not needed any more."""
        (self.root / name).unlink(missing_ok=True)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        return os.path.isfile(self.root / name)

    def names(self, folder: str) -> list[str]:
        """The files in a folder, sorted, each with the folder's name in front; [] where there is none."""
        try:
            with os.scandir(self.root / folder) as found:
                return sorted(f"{folder}/{each.name}" for each in found if each.is_file())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CosyError(f"Cannot read {self.root / folder}: {error.strerror}.") from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside the block no other driver writes here, and before it what killed writers have left is removed.
        CosyError where another does, or the folder cannot be made."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.root / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise cannot_write(self.root, error) from error
        try:
            _lock(lock, self.root)
            self._sweep()
            yield
            self._sweep()
        finally:
            os.close(lock)

    def _sweep(self) -> None:
        with suppress(OSError), os.scandir(self.root / _STAGING) as found:
            for each in found:
                os.unlink(each.path)
        with suppress(OSError):
            os.rmdir(self.root / _STAGING)


def _lock(file: int, root: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise CosyError(f"Another run fills {root}: wait for it, or name another --out.") from error


@dataclass(frozen=True)
class RemoteFolder:
    """A place in an object store: an object appears under its name when all of it has arrived."""

    address: str

    @cached_property
    def _place(self) -> tuple[Any, str]:
        """The file system and the path in it."""
        import fsspec

        try:
            return fsspec.core.url_to_fs(self.address)
        except (ImportError, ValueError) as error:
            raise CosyError(
                f"Cannot reach {self.address} ({error}): install what it needs, or name a folder."
            ) from error

    def write(self, name: str, content: bytes) -> None:
        """An object of this content; CosyError where it cannot be written."""
        files, root = self._place
        target = f"{root}/{name}"
        try:
            try:
                files.pipe_file(target, content)
            except FileNotFoundError:  # a file system with folders
                files.makedirs(target.rpartition("/")[0], exist_ok=True)
                files.pipe_file(target, content)
        except OSError as error:
            raise CosyError(f"Cannot write {self.address}/{name}: {error}.") from error

    def read(self, name: str) -> bytes:
        """An object's content; CosyError where it cannot be read."""
        files, root = self._place
        try:
            return files.cat_file(f"{root}/{name}")
        except OSError as error:
            raise CosyError(f"Cannot read {self.address}/{name}: {error}.") from error

    def remove(self, name: str) -> None:
        """An object that is not needed any more."""
        files, root = self._place
        files.rm_file(f"{root}/{name}")

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        files, root = self._place
        return files.isfile(f"{root}/{name}")

    def names(self, folder: str) -> list[str]:
        """The objects below a folder, "" for all, sorted, each with the folder's name in front; [] for none."""
        return sorted(self._below(f"/{folder}"))

    def _below(self, folder: str) -> list[str]:
        files, root = self._place
        try:
            files.invalidate_cache()
            return [path[len(root) :].lstrip("/") for path in files.find(root + folder)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise CosyError(f"Cannot list {self.address}{folder}: {error}.") from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """Object stores have no locks: that one run at a time fills it is left to who starts them."""
        yield


Storage = LocalFolder | RemoteFolder


def open_storage(address: str) -> Storage:
    """The place at a path, or at an address with :// in it."""
    if "://" not in address:
        return LocalFolder(Path(address).absolute())
    kind, _, path = address.partition("://")
    return LocalFolder(Path(path)) if kind == "file" else RemoteFolder(address.rstrip("/"))
