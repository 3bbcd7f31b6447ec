"""A million hours on paper: many workers that take blocks of lines, are lost, and differ in speed.

    python -m benchmarks.scaling_simulation [--workers 10000] [--hours 1000000] [--line-seconds 0.21]

simulates what `cosy-jax batch --ray` does: each worker has up to `in flight` blocks, one that it speaks and those that
wait; a worker that is lost loses what it has spoken of its block, all of its blocks go to the front of the queue, and
it is back when a machine is found and the weights are loaded. It is seeded, and prints the same figures each time.
"""

import argparse
import heapq
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from benchmarks.table import print_table

_FREE, _DONE, _LOST = range(3)
_SPEECH_SECONDS = 5.0  # of a line, as in the standard workload of RESULTS.md
_LINE_SPREAD = 0.5  # standard deviation of a line's time, of its mean
_BLOCKS = (1024, 4096, 16384, 65536)


@dataclass(frozen=True)
class Cluster:
    """Workers and what befalls them; seconds."""

    workers: int
    line_seconds: float  # that a worker of ordinary speed takes for a line
    between_losses: float  # of one worker, on average; exponential
    back: float  # from a loss to the next line
    slow_share: float  # of the workers
    slow_factor: float  # that they take longer


@dataclass
class Run:
    """A run while it is simulated, and what came of it."""

    cluster: Cluster
    blocks: deque[float]  # seconds that each takes on a worker of ordinary speed
    in_flight: int
    draws: np.random.Generator
    now: float = 0.0
    done: float = 0.0  # seconds of work
    wasted: float = 0.0
    losses: int = 0
    first_idle: float = 0.0  # when a worker first found nothing to do; 0: not yet
    _events: list[tuple[float, int, int]] = field(default_factory=list)  # when, what, whose
    _idle: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = self.cluster.workers
        slow = self.draws.random(count) < self.cluster.slow_share
        self.slowness = np.where(slow, self.cluster.slow_factor, 1.0).tolist()
        self._lost_at = self.draws.exponential(self.cluster.between_losses, count).tolist()
        self._held = [deque[float]() for _ in range(count)]
        self._began = [0.0] * count
        self._events = [(0.0, _FREE, worker) for worker in range(count)]

    def simulate(self) -> None:
        """From the first block to the last."""
        while self._events:
            now, what, worker = heapq.heappop(self._events)
            if what == _LOST:
                self._lose(now, worker)
                continue
            if what == _DONE:
                self.now = now
                self.done += now - self._began[worker]
                self._held[worker].popleft()
            self._take(now, worker)

    def _take(self, now: float, worker: int) -> None:
        held = self._held[worker]
        while len(held) < self.in_flight and self.blocks:
            held.append(self.blocks.popleft())
        if not held:
            self.first_idle = self.first_idle or now
            self._idle.append(worker)
            return
        self._began[worker] = now
        end, lost = now + held[0] * self.slowness[worker], max(now, self._lost_at[worker])
        heapq.heappush(self._events, (end, _DONE, worker) if end <= lost else (lost, _LOST, worker))

    def _lose(self, now: float, worker: int) -> None:
        self.losses += 1
        self.wasted += now - self._began[worker]
        for block in reversed(self._held[worker]):
            self.blocks.appendleft(block)
            if self._idle:
                heapq.heappush(self._events, (now, _FREE, self._idle.pop()))
        self._held[worker].clear()
        back = now + self.cluster.back
        self._lost_at[worker] = back + self.draws.exponential(self.cluster.between_losses)
        heapq.heappush(self._events, (back, _FREE, worker))


def run(cluster: Cluster, lines: int, block_lines: int, in_flight: int, seed: int = 0) -> Run:
    """Speaks so many lines in blocks."""
    draws = np.random.default_rng(seed)
    spread = draws.normal(1.0, _LINE_SPREAD / block_lines**0.5, -(-lines // block_lines))
    blocks = deque((block_lines * cluster.line_seconds * np.maximum(spread, 0.1)).tolist())
    simulated = Run(cluster, blocks, in_flight, draws)
    simulated.simulate()
    return simulated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=10_000)
    parser.add_argument("--hours", type=float, default=1e6, help="of speech (default: a million)")
    parser.add_argument("--line-seconds", type=float, default=0.21, help="a worker's, for a line of 5 s of speech")
    parser.add_argument("--lost-after", type=float, default=24.0, metavar="H", help="hours, a worker's mean")
    parser.add_argument("--back-after", type=float, default=300.0, metavar="S", help="seconds to the next line")
    parser.add_argument("--slow-share", type=float, default=0.02)
    parser.add_argument("--slow-factor", type=float, default=3.0)
    args = parser.parse_args()
    cluster = Cluster(
        args.workers, args.line_seconds, 3600 * args.lost_after, args.back_after, args.slow_share, args.slow_factor
    )
    lines = round(args.hours * 3600 / _SPEECH_SECONDS)
    rows = [_row(cluster, lines, block_lines, in_flight) for block_lines in _BLOCKS for in_flight in (1, 2)]
    titles = ("lines a block", "in flight", "a block, min", "blocks/s", "hours", "of ideal", "idle", "wasted", "losses")
    print_table(titles, rows)


def _row(cluster: Cluster, lines: int, block_lines: int, in_flight: int) -> tuple[str | float, ...]:
    found = run(cluster, lines, block_lines, in_flight)
    ideal = lines * cluster.line_seconds / sum(1 / slowness for slowness in found.slowness)
    return (
        str(block_lines),
        str(in_flight),
        block_lines * cluster.line_seconds / 60,
        lines / block_lines / found.now,
        found.now / 3600,
        found.now / ideal,
        f"{(found.now - found.first_idle) / found.now:.1%} of the time",
        f"{found.wasted / (found.done + found.wasted):.2%}",
        str(found.losses),
    )


if __name__ == "__main__":
    main()
