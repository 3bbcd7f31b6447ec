"""Reads `.safetensors` files of the released layout (community folders hold them with the keys of the `.pt` files)."""

import math
from functools import partial
from pathlib import Path

import numpy as np

from cosy_jax.checkpoint.reader import read_header
from cosy_jax.checkpoint.tensors import StoredTensor
from cosy_jax.errors import CosyError

from .source import LazyTensor, check_tensor, check_weight_file, read_range

_MAX_HEADER = 8 << 20  # bytes; the format allows 100 MB, which take gigabytes as Python's objects


def open_safetensors(path: Path) -> dict[str, LazyTensor]:
    """The tensors of the file by name, read when asked for; CosyError for a truncated or foreign file."""
    check_weight_file(path)
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
    except OSError as error:
        raise CosyError(f"{path} cannot be read: {error.strerror}.") from error
    if size > _MAX_HEADER:
        raise CosyError(f"{path} is truncated or not a safetensors file (a header of {size} bytes): download it again.")
    header = read_header(path)
    for name, stored in header.items():
        check_tensor(path, name, stored.shape)
    return {
        name: LazyTensor(stored.shape, stored.dtype, partial(_read, path, stored)) for name, stored in header.items()
    }


def _read(path: Path, stored: StoredTensor) -> np.ndarray:
    return read_range(path, stored.offset, stored.dtype, math.prod(stored.shape)).reshape(stored.shape)
