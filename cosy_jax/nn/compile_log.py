"""Counts XLA compilations and the time they take, so that a run can say how much of it was compiling."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import jax

_COMPILE_EVENT = "/jax/core/compile/backend_compile_duration"
_CACHE_HIT_EVENT = "/jax/compilation_cache/cache_hits"
_READ_EVENT = "/cosy_jax/program_read_duration"
_TRACE_EVENTS = ("/jax/core/compile/jaxpr_trace_duration", "/jax/core/compile/jaxpr_to_mlir_module_duration")


@dataclass
class CompileCount:
    """Programs compiled or read, how many of them were read, how many of these as a whole, without being traced, and
    seconds of tracing, lowering, compiling and reading."""

    programs: int = 0
    cached: int = 0
    whole: int = 0
    seconds: float = 0.0

    @property
    def compiled(self) -> int:
        """Programs that were compiled anew."""
        return self.programs - self.cached


_active: list[CompileCount] = []
_lock = threading.Lock()  # any thread compiles, and any may begin or end to count


def _listen(event: str, duration_secs: float, **_: str | int) -> None:
    with _lock:
        for count in _active:
            if event == _READ_EVENT:
                count.cached, count.whole = count.cached + 1, count.whole + 1
            if event in (_COMPILE_EVENT, _READ_EVENT):
                count.programs += 1
            if event in (_COMPILE_EVENT, _READ_EVENT, *_TRACE_EVENTS):
                count.seconds += duration_secs


def _listen_hit(event: str, **_: str | int) -> None:
    if event != _CACHE_HIT_EVENT:
        return
    with _lock:
        for count in _active:
            count.cached += 1


jax.monitoring.register_event_duration_secs_listener(_listen)
jax.monitoring.register_event_listener(_listen_hit)


def record_read(seconds: float) -> None:
    """Counts a program that was read as a whole."""
    jax.monitoring.record_event_duration_secs(_READ_EVENT, seconds)


@contextmanager
def count_compilations() -> Iterator[CompileCount]:
    """Counts what is compiled inside the block, in every thread."""
    count = CompileCount()
    with _lock:
        _active.append(count)
    try:
        yield count
    finally:
        with _lock:
            _active[:] = [other for other in _active if other is not count]
