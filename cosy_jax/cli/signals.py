"""Ctrl-C, SIGTERM and SIGHUP: what was begun is cleaned up, and the exit status tells which of them it was."""

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AGAIN = 0.05  # seconds
_NUMBA = re.compile(r"[\\/](numba|llvmlite)[\\/]")

Handler = Callable[[int, FrameType | None], None]


class Interrupted(KeyboardInterrupt):
    """A signal that ends the program: a KeyboardInterrupt, so that all code lets it pass as it does Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.status = exit_status(number)


def exit_status(number: int) -> int:
    """Of a process that a signal ended: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + number


@contextmanager
def handled(handler: Handler, for_good: bool = False) -> Iterator[None]:
    """Inside the block, and `for_good` behind it too, signals go to `handler`; not those that whoever started the
    process ignores, as nohup does, and none in a thread, which cannot have any."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _ENDING}
    before = {number: old for number, old in before.items() if old is not signal.SIG_IGN}
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        if not for_good:
            for number, old in before.items():
                signal.signal(number, old)


def exit_at_once(number: int, _: FrameType | None) -> None:
    """The handler for when there is nothing to clean up."""
    os._exit(exit_status(number))


@contextmanager
def raised_once() -> Iterator[None]:
    """Inside the block, the first signal raises `Interrupted`, so that what was begun is cleaned up; after it a second
    Ctrl-C ends the process at once, and other signals wait for the cleaning up."""
    raised = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal raised
        if raised:
            if number == signal.SIGINT:
                exit_at_once(number, frame)
        elif _in_compiled_code(frame):
            _send_again(number)
        else:
            raised = True
            raise Interrupted(number)

    def swallowed(unraisable: "sys.UnraisableHookArgs") -> None:
        nonlocal raised
        # Some code has nobody to raise to, such as finalisers and what JAX does when garbage is collected.
        if isinstance(unraisable.exc_value, Interrupted):
            raised = False
            _send_again(unraisable.exc_value.number)
        else:
            before(unraisable)

    before, sys.unraisablehook = sys.unraisablehook, swallowed
    try:
        with handled(handle):
            yield
    finally:
        sys.unraisablehook = before


def _send_again(number: int) -> None:
    again = threading.Timer(_AGAIN, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


def _in_compiled_code(frame: FrameType | None) -> bool:
    """Whether a compiled module is being loaded, or numba compiles, which calls Python from LLVM: an exception that
    comes meanwhile can crash both."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name.startswith("<frozen importlib") or _NUMBA.search(name):
            return True
        frame = frame.f_back
    return False
