"""Writes safetensors files tensor by tensor (https://github.com/huggingface/safetensors#format).

The safetensors library wants all tensors at once; the language model alone is 2 GB.
"""

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from cosy_jax.checkpoint.reader import DTYPES

Entry = tuple[str, tuple[int, ...], np.dtype, Callable[[], np.ndarray]]

_NAMES = {dtype: name for name, dtype in DTYPES.items()}
_ALIGNMENT = 8


def write(path: Path, tensors: Iterable[Entry], progress: Callable[[int, int], None] | None = None) -> int:
    """Writes (name, shape, dtype, read) entries, one tensor in memory at a time; returns the number of bytes.

    What `read` returns is cast to `dtype`; ValueError if its shape is another. `progress` is told the bytes of tensors
    written and their total.
    """
    # Wider types first: every tensor then starts at a multiple of its item size.
    entries = sorted(tensors, key=lambda entry: (-np.dtype(entry[2]).itemsize, entry[0]))
    header, total = _header(entries)
    written = 0
    with path.open("wb") as file:
        file.write(len(header).to_bytes(_ALIGNMENT, "little"))
        file.write(header)
        for name, shape, dtype, read in entries:
            values = np.ascontiguousarray(read(), dtype=dtype)
            if values.shape != shape and math.prod(shape) != 1:
                raise ValueError(f"'{name}' has shape {values.shape}, not {shape}")
            file.write(values.reshape(-1).view(np.uint8).data)
            written += values.nbytes
            del values
            if progress is not None:
                progress(written, total)
    return len(header) + _ALIGNMENT + written


def _header(entries: list[Entry]) -> tuple[bytes, int]:
    content = {}
    end = 0
    for name, shape, dtype, _ in entries:
        start, end = end, end + math.prod(shape) * np.dtype(dtype).itemsize
        content[name] = {"dtype": _NAMES[np.dtype(dtype)], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(content, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % _ALIGNMENT), end
