"""Whose piece is computed next. Pure: the clock is an argument.

A stream that sounds must not fall silent, so those whose listeners would wait soonest come first; then those that wait
for their first piece, by age; then those that are far ahead of their listeners. Nobody's piece is made smaller when
there are many: small pieces cost more a second of audio, so that a server that is late would only get later.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ready:
    """A piece that could be computed now."""

    tag: Any
    frames: int  # of mel
    asked: float  # seconds, when the request came
    dry: float | None  # seconds, when the listener will have heard all there is; None before the first piece


@dataclass(frozen=True)
class Order:
    """`comfort`: seconds of audio ahead of its listener from which on a stream waits for others' first pieces. `rows`:
    batch sizes, ascending; `sizes`: lengths that pieces are padded to. With `pads` a batch may be filled up with idle
    rows, which cost nothing where one row does not fill the device."""

    comfort: float
    rows: Sequence[int]
    sizes: Sequence[int]
    pads: bool

    def choose(self, ready: Iterable[Ready], now: float) -> list[Ready]:
        """The pieces of the next batch, at most one a tag, the most urgent first; empty where nothing is ready."""
        queue = sorted(ready, key=lambda piece: self._urgency(piece, now))
        if not queue:
            return []
        fitting = [piece for piece in queue if self._size(piece.frames) <= self._size(queue[0].frames)]
        return fitting[: self._count(len(fitting))]

    def _urgency(self, piece: Ready, now: float) -> tuple[int, float, float]:
        if piece.dry is None:
            return 1, piece.asked, piece.asked
        slack = piece.dry - now
        return (0 if slack < self.comfort else 2), slack, piece.asked

    def _size(self, frames: int) -> int:
        return min(size for size in self.sizes if size >= frames)

    def _count(self, waiting: int) -> int:
        if self.pads:
            return min(waiting, self.rows[-1])
        return max(rows for rows in self.rows if rows <= waiting)
