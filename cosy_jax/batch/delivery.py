"""What stands between the manifest and the pipeline: which lines are still to speak, and what became of them."""

import threading
from collections.abc import Iterable, Iterator

from cosy_jax.batch.manifest import BadLine, Line
from cosy_jax.batch.messages import Failed, Finished, Spoken
from cosy_jax.batch.results import Outcome, Results
from cosy_jax.batch.stats import Stats

_SHOWN_FAILURES = 10


class Delivery:
    """Hands out the lines that no earlier run has spoken; writes what comes of them and counts it in `stats`.

    `failures` holds the first ten, the rest is in the results file only.
    """

    def __init__(self, results: Results, stats: Stats, sample_rate: int) -> None:
        self.failures: list[Outcome] = []
        self._results, self._stats, self._sample_rate = results, stats, sample_rate
        self._lock = threading.Lock()
        self._taken = 0

    def pending(self, lines: Iterable[Line | BadLine]) -> Iterator[Line]:
        """The lines to speak; bad ones are delivered at once, those spoken before are counted as skipped."""
        for line in lines:
            if isinstance(line, Line) and self._results.done(line.key):
                self._stats.skipped += 1
                continue
            self._taken += 1
            if isinstance(line, Line):
                yield line
            else:
                self.deliver(Failed(Outcome(line, error=line.error)))

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
            if len(self.failures) < _SHOWN_FAILURES:
                self.failures.append(written)
