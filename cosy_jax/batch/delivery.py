"""What stands between the manifest and the pipeline: which lines are still to speak, and what became of them."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np

from cosy_jax.batch.entries import SHOWN_FAILURES, Outcome
from cosy_jax.batch.ledger import Standing
from cosy_jax.batch.manifest import BadLine, Line
from cosy_jax.batch.messages import Failed, Finished, Spoken
from cosy_jax.batch.origin import Origins
from cosy_jax.batch.stats import Stats


def with_origins(lines: Iterable[Line | BadLine], origins: Origins) -> Iterator[Line | BadLine]:
    """The lines as they come, each that can be spoken with its origin."""
    for line in lines:
        yield replace(line, origin=origins.of(line.request)) if isinstance(line, Line) else line


class Record(Protocol):
    """What earlier runs have spoken, and where that of this one is written, as `Results` has it."""

    def standing(self, line: Line) -> Standing: ...

    def deliver(self, outcome: Outcome, samples: np.ndarray | None, sample_rate: int) -> Outcome: ...


class Delivery:
    """Hands out the lines that no earlier run has spoken, or with `force` all of them; writes what comes of them and
    counts it in `stats`.

    `failures` holds the first ten, the rest is in the results file only.
    """

    def __init__(self, results: Record, stats: Stats, sample_rate: int, force: bool = False) -> None:
        self.failures: list[Outcome] = []
        self._results, self._stats, self._sample_rate = results, stats, sample_rate
        self._force = force
        self._lock = threading.Lock()
        self._taken = 0

    def pending(self, lines: Iterable[Line | BadLine]) -> Iterator[Line]:
        """The lines to speak; bad ones are delivered at once, those spoken before are counted as skipped."""
        for line in lines:
            if isinstance(line, Line) and self._is_spoken(line):
                continue
            self._taken += 1
            if isinstance(line, Line):
                yield line
            else:
                self.deliver(Failed(Outcome(line, error=line.error)))

    def _is_spoken(self, line: Line) -> bool:
        """Whether there is nothing to do; counts it, or why it is done again."""
        standing = self._results.standing(line)
        if self._force and standing.final:
            standing = Standing.FORCED
        self._stats.unverified += standing == Standing.UNVERIFIED
        self._stats.skipped += standing.final
        if not standing.final and standing != Standing.NEW:
            self._stats.again[standing] += 1
        return standing.final

    @property
    def in_flight(self) -> int:
        """Lines handed out and not delivered."""
        return self._taken - self._stats.lines

    def deliver(self, finished: Finished) -> None:
        """Writes a line's audio, or its error; from any thread."""
        samples = finished.audio if isinstance(finished, Spoken) else None
        written, stats = self._results.deliver(finished.outcome, samples, self._sample_rate), self._stats
        with self._lock:
            stats.lines += 1
            if not written.error:
                stats.audio_seconds += written.seconds
                stats.tokens += written.tokens
                return
            stats.failed += 1
            if len(self.failures) < SHOWN_FAILURES:
                self.failures.append(written)
