"""Work on several items at once whose results keep the items' order."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TypeVar

P = TypeVar("P")
Q = TypeVar("Q")


def in_order(work: Callable[[P], Q], items: Iterable[P], at_once: int) -> Iterator[Q]:
    """The results for the items, of which `at_once` are worked on at a time, each in a thread; an error of `work` is
    raised where its result would be. Items are taken before earlier results are there, and no more than that.

    An executor's threads would keep the process from ending after Ctrl-C until their work is done; these are daemons.
    """
    flying: deque[Future[Q]] = deque()
    for item in items:
        flying.append(_started(work, item))
        if len(flying) == at_once:
            yield flying.popleft().result()
    while flying:
        yield flying.popleft().result()


def _started(work: Callable[[P], Q], item: P) -> Future[Q]:
    future: Future[Q] = Future()

    def run() -> None:
        try:
            future.set_result(work(item))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
