"""Ctrl-C in two steps: the first lets what was begun be finished, the second does not wait."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cosy_jax.cli.common import INTERRUPTED, say_interrupted, status


@contextmanager
def two_interrupts(stop: threading.Event, on_first: Callable[[], None]) -> Iterator[None]:
    """Inside the block, the first Ctrl-C sets `stop` and calls `on_first`, the second ends the process at once.

    For the main thread, which must not be inside a compiled program: Python would take the signal only after it.
    """

    def handle(*_: object) -> None:
        if stop.is_set():
            status.show_cursor(True)
            say_interrupted()
            os._exit(INTERRUPTED)  # other threads may be inside a program that runs for a minute
        stop.set()
        on_first()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
