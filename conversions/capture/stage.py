"""Runs one stage: its time, its memory, and once more on the CPU where the GPU has no room for it."""

import gc
import logging
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

_log = logging.getLogger("capture")
_Result = TypeVar("_Result")


def run_stage(name: str, work: Callable[[str], _Result], device: str) -> _Result:
    """`work(device)`; after an out-of-memory error of the GPU what it held is freed and `work("cpu")` is run."""
    try:
        return _measured(name, work, device)
    except Exception as error:
        if device == "cpu" or not is_out_of_memory(error):
            raise
    # Out of the except block, where the traceback would keep the stage's tensors alive.
    _log.warning("%s: out of memory on %s, repeated on the CPU", name, device)
    _free()
    return _measured(name, work, "cpu")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch says that the GPU's memory is full, by type or (cuBLAS, driver) in words."""
    text = str(error)
    return type(error).__name__ == "OutOfMemoryError" or (
        isinstance(error, RuntimeError) and ("out of memory" in text or "ALLOC_FAILED" in text)
    )


def _measured(name: str, work: Callable[[str], _Result], device: str) -> _Result:
    _log.info("%s: on %s", name, device)
    start = time.perf_counter()
    if device != "cpu":
        _cuda().reset_peak_memory_stats()
    result = work(device)
    _log.info("%s: %.1f s, %s", name, time.perf_counter() - start, _peak(device))
    _free()
    return result


def _peak(device: str) -> str:
    if device != "cpu":
        return f"peak GPU memory {_cuda().max_memory_allocated() / 2**30:.2f} GiB"
    # ru_maxrss is in KiB on Linux and in bytes on macOS, and never falls.
    unit = 2**30 if sys.platform == "darwin" else 2**20
    return f"peak memory of the process so far {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit:.2f} GiB"


def _free() -> None:
    gc.collect()
    if "torch" in sys.modules and _cuda().is_available():
        _cuda().empty_cache()


def _cuda() -> Any:
    import torch

    return torch.cuda
