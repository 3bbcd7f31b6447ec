"""How the benchmarks take time: the first run apart, since it compiles, then medians of warm ones."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jax

from cosy_jax.nn.compile_log import count_compilations


@dataclass(frozen=True)
class Timing:
    """Seconds of the first run, of compiling in it, of a warm run (median), and of the fastest."""

    first: float
    compiling: float
    warm: float
    best: float


def seconds_of(work: Callable[..., object], *args: object) -> float:
    """Wall seconds of one call, until its arrays are there."""
    start = time.perf_counter()
    jax.block_until_ready(work(*args))
    return time.perf_counter() - start


def measure(work: Callable[..., object], runs: int, prepare: Callable[[], tuple] = tuple) -> Timing:
    """Time of `work(*prepare())`; what `prepare` takes is not counted."""
    return measure_in_turn({"": lambda: seconds_of(work, *jax.block_until_ready(prepare()))}, runs)[""]


def measure_in_turn(sides: Mapping[str, Callable[[], float]], runs: int) -> dict[str, Timing]:
    """Each side runs once and says how many seconds it took, then all of them take turns, `runs` rounds."""
    firsts = {name: _first(run) for name, run in sides.items()}
    warm: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(runs):
        for name, run in sides.items():
            warm[name].append(run())
    return {name: Timing(*firsts[name], statistics.median(warm[name]), min(warm[name])) for name in sides}


def _first(run: Callable[[], float]) -> tuple[float, float]:
    with count_compilations() as compiled:
        seconds = run()
    return seconds, compiled.seconds
