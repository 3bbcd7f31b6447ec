"""Reading what will be wanted soon, in a thread of its own."""

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

_MOST = 2  # read and not yet taken: programs of released size take up to a hundred megabytes

T = TypeVar("T")


class ReadAhead(Generic[T]):
    """`load(name)` of each name, in their order, at most `_MOST` of them before they are taken in that order."""

    def __init__(self, names: Iterable[str], load: Callable[[str], T]) -> None:
        self._load, self._waiting = load, deque(names)
        self._reading: str | None = None
        self._found: dict[str, T] = {}
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read_all, name="read-ahead", daemon=True)
        self._thread.start()

    def take(self, name: str) -> T:
        """What `load` gives for it: read already, waited for, or read now. What stands before it is wanted no more."""
        with self._changed:
            while name in self._waiting and self._waiting.popleft() != name:
                pass
            self._changed.wait_for(lambda: self._reading != name)
            before = list(self._found)
            before = before[: before.index(name)] if name in before else before
            for other in before:
                del self._found[other]
            read = name in self._found
            found = self._found.pop(name) if read else None
            self._changed.notify_all()
        return found if read else self._load(name)  # type: ignore[return-value]

    def close(self) -> None:
        """Ends the thread, once what it reads is read."""
        with self._changed:
            self._waiting.clear()
            self._found.clear()
            self._changed.notify_all()
        self._thread.join()

    def _read_all(self) -> None:
        while (name := self._next()) is not None:
            try:
                found = self._load(name)
            except Exception:  # whoever takes it meets it again
                found = None
            with self._changed:
                self._reading = None
                if found is not None:
                    self._found[name] = found
                self._changed.notify_all()

    def _next(self) -> str | None:
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting or len(self._found) < _MOST)
            self._reading = self._waiting.popleft() if self._waiting else None
            return self._reading
