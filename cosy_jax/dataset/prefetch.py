"""What the next steps need is loaded while this one computes."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


def prefetch(load: Callable[[T], U], items: Iterable[T], ahead: int = 2) -> Generator[U, None, None]:
    """`load(item)` of each item in turn, `ahead` of them begun or done before they are asked for, each in a thread.

    Raises what `load` raises where its result is due. The threads have ended when the iterator has, or is closed.
    """
    waiting: deque[Future[U]] = deque()
    with ThreadPoolExecutor(ahead) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(load, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
