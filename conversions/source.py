"""What every reader hands out: tensors whose shape and type are known and whose bytes are read only when asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosy_jax.errors import CosyError

MAX_AXES = 8
_LARGEST_AXIS = 2**32
_LONGEST_NAME = 200


@dataclass(frozen=True)
class LazyTensor:
    """One tensor of a file. `read` returns a new array of that shape and dtype, and may raise CosyError."""

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], np.ndarray]


def check_tensor(path: Path, name: str, shape: tuple[int, ...]) -> None:
    """CosyError for a name that cannot be shown and a shape that no network has."""
    if not name.isprintable() or len(name) > _LONGEST_NAME:
        raise CosyError(
            f"{path} holds a tensor with an impossible name ({brief(name, 60)}): download or copy it again."
        )
    if len(shape) > MAX_AXES or not all(0 <= size < _LARGEST_AXIS for size in shape):
        raise CosyError(f"{path} holds '{name}' in an impossible shape ({brief(shape)}): download it again.")


def read_range(path: Path, offset: int, dtype: np.dtype, count: int) -> np.ndarray:
    """`count` values from byte `offset` of the file, (count,); CosyError where the file ends before.

    Plain reads rather than a memory map: mapped pages stay resident and would count as the program's memory.
    """
    try:
        values = np.fromfile(path, dtype=dtype, count=count, offset=offset)
    except OSError as error:
        raise CosyError(f"{path} cannot be read: {error.strerror}.") from error
    if values.size != count:
        raise CosyError(f"{path} is truncated: download or copy it again.")
    return values


def read_small(path: Path, limit: int) -> bytes:
    """The whole file; CosyError where it is missing or larger than `limit` bytes."""
    check_weight_file(path)
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise CosyError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > limit:
        raise CosyError(f"{path} is larger than {limit >> 10} KiB, which no CosyVoice 3 release is: download it again.")
    return content


def brief(what: object, limit: int = 200) -> str:
    """On one line, and cut where it is long: what a file says must not flood the sentence about it."""
    text = "".join(char if char.isprintable() else "\ufffd" for char in " ".join(str(what).split()))
    return text if len(text) <= limit else f"{text[:limit]}..."


def check_weight_file(path: Path) -> None:
    """CosyError unless the path is a regular file that holds data, not a Git LFS pointer."""
    if not path.is_file():
        raise CosyError(f"{path} is missing: download the whole model folder.")
    try:
        with path.open("rb") as file:
            start = file.read(40)
    except OSError as error:
        raise CosyError(f"{path} cannot be read: {error.strerror}.") from error
    if start.startswith(b"version https://git-lfs"):
        raise CosyError(f"{path} is a Git LFS pointer, not the weights: run `git lfs pull` in the model folder.")
