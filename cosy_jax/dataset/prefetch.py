"""What the next steps need is loaded while this one computes."""

import threading
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

from cosy_jax.batch.channel import Cancelled, Channel

T = TypeVar("T")
U = TypeVar("U")


def prefetch(load: Callable[[T], U], items: Iterable[T], ahead: int = 2) -> Generator[U, None, None]:
    """`load(item)` of each item in turn, called in a thread that has at most `ahead` results waiting.

    Raises what `items` or `load` raise, once the results before that were taken. The thread has ended when the
    iterator has, or is closed.
    """
    stopped = threading.Event()
    channel: Channel[U] = Channel(ahead, stopped)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            try:
                for item in items:
                    channel.put(load(item))
            except Cancelled:
                raise
            except BaseException as error:  # raised where the results are taken
                errors.append(error)
            channel.close()
        except Cancelled:
            return

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield from channel
        if errors:
            raise errors[0]
    finally:
        stopped.set()
        thread.join()
