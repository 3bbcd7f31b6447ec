"""Ending in two steps: the first signal lets what was begun be finished, the second does not wait."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cosy_jax.cli.output import say, status
from cosy_jax.cli.signals import exit_status, handled


class Stop(threading.Event):
    """Set by the first signal, and the exit status that it asks for."""

    status = 0


@contextmanager
def two_interrupts(stop: Stop, on_first: Callable[[], None]) -> Iterator[None]:
    """Inside the block, the first Ctrl-C, SIGTERM or SIGHUP sets `stop` and calls `on_first`, the second ends the
    process at once.

    For the main thread, which must not be inside a compiled program: Python would take the signal only after it.
    """

    def handle(number: int, _: object) -> None:
        if stop.is_set():
            status.show_cursor(True)
            say("cosy-jax: interrupted; nothing was left half written.")
            os._exit(exit_status(number))  # other threads may be inside a program that runs for a minute
        stop.status = exit_status(number)
        stop.set()
        on_first()

    with handled(handle):
        yield
