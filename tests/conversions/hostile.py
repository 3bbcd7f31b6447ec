"""What every reader owes the one who gives it a file that was damaged, or made to cost time or memory."""

import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from cosy_jax.errors import CosyError

SECONDS = 2.0
MEMORY = 64 << 20  # bytes, counting what Python and NumPy allocate


def refuse(read: Callable[[Path], object], path: Path, reason: str = ".") -> None:
    """`read` raises CosyError with one short sentence about the path, in little time and memory."""
    started = time.process_time()
    with pytest.raises(CosyError, match=reason) as raised:
        read(path)
    assert time.process_time() - started < SECONDS
    message = str(raised.value)
    assert message.startswith(str(path)) and len(message) < len(str(path)) + 400 and message.isprintable()
    tracemalloc.start()
    try:
        with pytest.raises(CosyError):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
