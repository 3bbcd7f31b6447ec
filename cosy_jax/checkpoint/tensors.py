"""One tensor of a safetensors file, read a part at a time into memory that XLA takes over as it is."""

import math
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from cosy_jax.checkpoint.finite import all_finite
from cosy_jax.errors import CosyError

Shape = tuple[int, ...]
_PART = 2**20  # values at a time, so that a tensor of another type takes no memory beside its own
_ALIGNMENT = 64  # bytes: XLA's CPU client takes over what lies so, and copies the rest


class StoredTensor(NamedTuple):
    """Where a safetensors file keeps a tensor; `offset` is in bytes from the start of the file."""

    shape: Shape
    dtype: np.dtype
    offset: int


def read_tensor(path: Path, name: str, stored: StoredTensor, dtype: np.dtype) -> np.ndarray:
    """One tensor, of floats, in another type; CosyError where a value is not finite, or no longer is in that type."""
    if not jax.dtypes.issubdtype(stored.dtype, np.floating):
        raise CosyError(f"{path} holds {stored.dtype} values in {name}, not floats: convert the model again.")
    values = _aligned(math.prod(stored.shape), dtype)
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(stored.offset)
            for start in range(0, values.size, _PART):
                _fill(path, name, file, values[start : start + _PART], stored.dtype)
    except OSError as error:
        raise unreadable(path, error) from error
    return values.reshape(stored.shape)


def unreadable(path: Path, error: OSError) -> CosyError:
    """What to raise for a file that is there and cannot be read, such as for want of permission."""
    return CosyError(f"Cannot read {path}: {(error.strerror or str(error)).rstrip('.')}.")


def _aligned(count: int, dtype: np.dtype) -> np.ndarray:
    """Memory for so many values, (count,)."""
    size = count * dtype.itemsize
    room = np.empty(size + _ALIGNMENT, np.uint8)
    start = -room.ctypes.data % _ALIGNMENT
    return room[start : start + size].view(dtype)


def _fill(path: Path, name: str, file: FileIO, values: np.ndarray, stored: np.dtype) -> None:
    """The file's next values, of the type `stored`, into (count,) of another one."""
    read = values if stored == values.dtype else np.empty(len(values), stored)
    left = read.view(np.uint8).data
    while left:
        taken = file.readinto(left)
        if not taken:
            raise CosyError(f"{path} is truncated: copy or convert it again.")
        left = left[taken:]
    if read is not values:
        with np.errstate(over="ignore"):  # some may be too large for the new type
            values[:] = read
    if not all_finite(values):
        raise CosyError(f"{path} holds NaN or infinite values in {name}: copy or convert it again.")
