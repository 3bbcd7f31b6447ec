"""Writes files whole or not at all."""

import os
import tempfile
from pathlib import Path

from cosy_jax.errors import CosyError


def check_writable(path: str | Path) -> None:
    """CosyError where nothing can be written at `path`; called before the work, not after it."""
    path = Path(path)
    if path.is_dir():
        raise CosyError(f"{path} is a folder: name a file.")
    if not path.parent.is_dir():
        raise CosyError(f"The folder {path.parent} does not exist: create it first.")
    try:
        handle, name = tempfile.mkstemp(dir=path.parent)
    except OSError as error:
        raise CosyError(f"Cannot write into {path.parent}: {error.strerror}.") from error
    os.close(handle)
    os.unlink(name)


def write_whole(path: Path, content: bytes) -> None:
    """`content` as a file that appears under its name when it is complete; missing folders are created. CosyError for
    a failed write."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise CosyError(f"Cannot write into {path.parent}: {error.strerror}.") from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise CosyError(f"Cannot write {path}: {error.strerror}.") from error
    finally:
        Path(temporary).unlink(missing_ok=True)
