"""Items of one length bucket wait for each other, so that they can be computed as a batch."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import jax

from cosy_jax.errors import CosyError

T = TypeVar("T")
R = TypeVar("R")

# What a group too small for a full batch is cut into; every other size would be one more program.
_PART = 4
# Items that may come after one that waits, in full batches: a rare length does not wait for the end of the manifest.
_PATIENCE = 16


class Grouping(Generic[T]):
    """Collects items by bucket and gives them back in batches of `rows`, or of a power of four below where items have
    waited long or nothing more comes. What comes out depends on the items alone, not on time."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._waiting: dict[Hashable, list[T]] = {}
        self._since: dict[Hashable, int] = {}
        self._count = 0

    def add(self, bucket: Hashable, item: T) -> Iterator[list[T]]:
        """Takes an item; yields the batches that are due now."""
        self._count += 1
        group = self._waiting.setdefault(bucket, [])
        self._since.setdefault(bucket, self._count)
        group.append(item)
        if len(group) == self.rows:
            yield self._take(bucket)
        for late in [b for b, since in self._since.items() if self._count - since >= _PATIENCE * self.rows]:
            yield from self._parts(self._take(late))

    def rest(self) -> Iterator[list[T]]:
        """Batches of all that still waits."""
        for bucket in list(self._waiting):
            yield from self._parts(self._take(bucket))

    def _take(self, bucket: Hashable) -> list[T]:
        del self._since[bucket]
        return self._waiting.pop(bucket)

    def _parts(self, group: list[T]) -> Iterator[list[T]]:
        size = self.rows
        while group:
            size = part_size(len(group), size)
            yield group[:size]
            group = group[size:]


def part_size(count: int, largest: int) -> int:
    """The largest of `largest`, 1, 4, 16, ... that `count` fills."""
    if count >= largest:
        return largest
    size = 1
    while size * _PART <= count:
        size *= _PART
    return size


@dataclass(frozen=True)
class Success(Generic[T, R]):
    """An item and what was made of it."""

    item: T
    value: R


@dataclass(frozen=True)
class Failure(Generic[T]):
    """An item of which nothing could be made."""

    item: T
    error: str  # why


def halving(group: list[T], work: Callable[[list[T]], Sequence[R]]) -> Iterator[Success[T, R] | Failure[T]]:
    """What `work` makes of each item, in their order. Where a batch fails on the device, its halves are tried, down to
    single items: a batch too large for the memory is no reason to lose its lines."""
    try:
        values = work(group)
    except (CosyError, MemoryError, jax.errors.JaxRuntimeError) as error:
        if len(group) == 1:
            yield Failure(group[0], str(error) or type(error).__name__)  # a bare MemoryError has no text
            return
        middle = len(group) // 2
        yield from halving(group[:middle], work)
        yield from halving(group[middle:], work)
    else:
        yield from (Success(item, value) for item, value in zip(group, values, strict=True))
