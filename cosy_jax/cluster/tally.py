"""The counts of all workers as one."""

import threading
from collections.abc import Mapping

from cosy_jax.batch.entries import SHOWN_FAILURES, Outcome
from cosy_jax.batch.stats import Stats
from cosy_jax.cluster.job import Report
from cosy_jax.nn.compile_log import CompileCount


class Tally:
    """Adds what workers count to what was `planned`, the lines that no worker is given; for any number of threads."""

    def __init__(self, planned: Stats) -> None:
        self.shown = Stats()  # all of it
        self.compiled = CompileCount()
        self.failures: list[Outcome] = []
        self._planned, self._done = planned, Stats()
        self._blocks: set[int] = set()
        self._flying: dict[int, Stats] = {}  # until the block's report is here, or what is shown would go back
        self._lock = threading.Lock()

    def finish(self, block: int, report: Report) -> None:
        """Counts a block for good."""
        with self._lock:
            self._blocks.add(block)
            self._flying.pop(block, None)
            self._done.add(report.stats)
            programs, cached, seconds = report.compiled
            self.compiled.programs += programs
            self.compiled.cached += cached
            self.compiled.seconds += seconds
            self.failures += report.failures[: SHOWN_FAILURES - len(self.failures)]
        self.show({})

    def show(self, flying: Mapping[int, Stats]) -> None:
        """Brings `shown` up to date, with the blocks that are being spoken."""
        with self._lock:
            total = Stats(self.shown.started)
            total.add(self._planned)
            total.add(self._done)
            self._flying |= {block: stats for block, stats in flying.items() if block not in self._blocks}
            for stats in self._flying.values():
                total.add(stats)
            vars(self.shown).update(vars(total))
