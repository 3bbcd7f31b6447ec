"""Memory that nobody uses, given back to the system."""

import ctypes
import gc
from contextlib import suppress


def trim() -> None:
    """Has JAX let go of arrays that it had taken over as they were, which it does when Python collects garbage, and
    glibc of what was freed between things that are in use."""
    gc.collect(0)
    with suppress(OSError, AttributeError):  # there is another C library
        ctypes.CDLL(None).malloc_trim(0)
