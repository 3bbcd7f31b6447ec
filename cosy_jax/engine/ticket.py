"""The caller's end of a request: its audio, from any thread or asyncio task.

S samples.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator

import numpy as np

from cosy_jax.engine.errors import CancelledError


class Ticket:
    """Pieces of audio float32 (S,), as they are spoken, for one reader. To iterate raises what the request ended in,
    after the pieces before it."""

    def __init__(self, rate: int, on_change: Callable[[], None]) -> None:
        """`on_change` is called when something was read, or nobody wants it any more."""
        self.sample_rate = rate  # Hz
        self._on_change = on_change
        self._enders: list[Callable[[BaseException | None], None]] = []
        self._pieces: deque[np.ndarray] = deque()
        self._changed = threading.Condition()
        self._watchers: list[Callable[[], None]] = []
        self._error: BaseException | None = None
        self._done = self._cancelled = False

    def cancel(self) -> None:
        """Ends the request; what was not read is dropped. Nothing happens if it has ended."""
        with self._changed:
            if self._done:
                return
            self._cancelled = True
            self._pieces.clear()
        self.end(CancelledError("The request was cancelled."))
        self._on_change()

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants it any more."""
        return self._cancelled

    @property
    def done(self) -> bool:
        """Whether no more will come."""
        return self._done

    @property
    def unread(self) -> float:
        """Seconds of audio that wait for the reader."""
        with self._changed:
            return sum(map(len, self._pieces)) / self.sample_rate

    def when_done(self, call: Callable[[BaseException | None], None]) -> None:
        """Calls with what the request ended in, once it has, from any thread."""
        with self._changed:
            if not self._done:
                self._enders.append(call)
                return
        call(self._error)

    def put(self, audio: np.ndarray) -> None:
        """The engine's: one more piece."""
        with self._changed:
            if self._done:
                return
            self._pieces.append(audio)
        self._notify()

    def end(self, error: BaseException | None = None) -> None:
        """The engine's: no more will come. What came first stays."""
        with self._changed:
            if self._done:
                return
            self._done, self._error = True, error
        for call in self._enders:
            call(error)
        self._notify()

    def __iter__(self) -> Iterator[np.ndarray]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces or self._done)
                piece = self._next()
            if piece is None:
                return
            self._on_change()
            yield piece

    async def __aiter__(self) -> AsyncIterator[np.ndarray]:
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens there
                loop.call_soon_threadsafe(changed.set)

        self._watchers.append(wake)
        try:
            while True:
                changed.clear()
                with self._changed:
                    waiting = not self._pieces and not self._done
                    piece = None if waiting else self._next()
                if waiting:
                    await changed.wait()
                elif piece is None:
                    return
                else:
                    self._on_change()
                    yield piece
        finally:
            self._watchers.remove(wake)

    def result(self) -> np.ndarray:
        """All audio float32 (S,), once the request has ended."""
        return np.concatenate([np.zeros(0, np.float32), *self])

    def _next(self) -> np.ndarray | None:
        """With the lock held: the next piece, or None at the end; raises what the request ended in."""
        if self._pieces:
            return self._pieces.popleft()
        if self._error is not None:
            raise self._error
        return None

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()
        for wake in list(self._watchers):
            wake()
