"""What two stages that run in threads of their own share: a bounded queue that ends, and a way to fail together."""

import queue
import threading
import time
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_POLL_SECONDS = 0.1
_END = object()


class Cancelled(Exception):
    """Another stage has failed: there is nobody left to work for."""


class Channel(Generic[T]):
    """Items from one thread to another, at most `size` of them waiting; ends once the sender has closed it.

    Both ends raise `Cancelled` once `failed` is set, so that no thread waits for one that is gone.
    """

    def __init__(self, size: int, failed: threading.Event) -> None:
        self._queue: queue.Queue = queue.Queue(size)
        self._failed = failed
        self.waited = 0.0  # seconds that the receiver has waited

    def put(self, item: T) -> None:
        """Hands an item over; waits while the channel is full."""
        self._put(item)

    def close(self) -> None:
        """No item will follow."""
        self._put(_END)

    def _put(self, item: object) -> None:
        while not self._failed.is_set():
            try:
                return self._queue.put(item, timeout=_POLL_SECONDS)
            except queue.Full:
                continue
        raise Cancelled

    def __iter__(self) -> Iterator[T]:
        while True:
            start = time.perf_counter()
            item = self._get()
            self.waited += time.perf_counter() - start
            if item is _END:
                return
            yield item  # type: ignore[misc]

    def _get(self) -> object:
        while not self._failed.is_set():
            try:
                return self._queue.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
        raise Cancelled
