"""Reads `.safetensors` files of the released layout (community folders hold them with the keys of the `.pt` files)."""

import math
from functools import partial
from pathlib import Path

import numpy as np

from cosy_jax.checkpoint.reader import StoredTensor, read_header

from .source import LazyTensor, check_weight_file, read_range


def open_safetensors(path: Path) -> dict[str, LazyTensor]:
    """The tensors of the file by name, read when asked for; CosyError for a truncated or foreign file."""
    check_weight_file(path)
    return {
        name: LazyTensor(stored.shape, stored.dtype, partial(_read, path, stored))
        for name, stored in read_header(path).items()
    }


def _read(path: Path, stored: StoredTensor) -> np.ndarray:
    return read_range(path, stored.offset, stored.dtype, math.prod(stored.shape)).reshape(stored.shape)
