"""One small process beside the driver that knows what all workers are at, and tells them when to stop."""

import threading
import time
from collections import Counter

from cosy_jax.batch.stats import Stats

MOST_ATTEMPTS = 5  # at a block: nodes that leave are not its fault, but so many are
_FORGOTTEN = 120.0  # seconds after which a worker that is silent is gone


class Monitor:
    """The state of it; for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._attempts: Counter[int] = Counter()
        self._flying: dict[int, tuple[float, Stats]] = {}  # by block: when it was told, what it counts
        self._stopping = False

    def begin(self, block: int) -> tuple[bool, bool]:
        """Whether a worker may take up a block, which it may have killed others that did; and whether to stop."""
        with self._lock:
            self._attempts[block] += 1
            return self._attempts[block] <= MOST_ATTEMPTS, self._stopping

    def tell(self, block: int, stats: Stats) -> bool:
        """What a block counts so far; whether to stop."""
        with self._lock:
            self._flying[block] = (time.monotonic(), stats)
            return self._stopping

    def end(self, block: int) -> None:
        """The block is counted by the driver from now on."""
        with self._lock:
            self._flying.pop(block, None)

    def stop(self) -> None:
        """Lines that are begun are finished, no others are begun."""
        with self._lock:
            self._stopping = True

    def flying(self) -> dict[int, Stats]:
        """What the blocks that are being spoken count."""
        with self._lock:
            now = time.monotonic()
            self._flying = {
                block: (told, stats) for block, (told, stats) in self._flying.items() if now - told < _FORGOTTEN
            }
            return {block: stats for block, (_, stats) in self._flying.items()}
