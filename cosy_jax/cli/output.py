"""What is shown: standard output, standard error and the bars on it."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cosy_jax.errors import CosyError
from cosy_jax.text.escape import escaped


class _StandardOutput(Console):
    """Rich's console, whose failure is a sentence."""

    def print(self, *objects: Any, **options: Any) -> None:
        with standard_output():
            super().print(*objects, **options)


@contextmanager
def standard_output() -> Iterator[None]:
    """Around all that writes to standard output: CosyError where it cannot be written, BrokenPipeError where its reader
    went away. It then leads nowhere, lest the interpreter try again when it ends."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise
        raise CosyError(f"Cannot write to standard output: {error.strerror}.") from error


console = _StandardOutput(highlight=False)
if not console.is_terminal:
    console = _StandardOutput(highlight=False, width=200)  # a pipe has no width: keep the lines of tables whole
status = Console(stderr=True, highlight=False)

_LINE_SECONDS = 30.0
_CACHE_TROUBLE = re.compile("Error (reading|writing) persistent compilation cache")


def shown(text: str) -> str:
    """A text from outside, of one line or more, as it can be shown: what a terminal would obey stands as an escape."""
    return escaped(text, keep="\n\t")


def tell(line: str) -> None:
    """A line on standard output, as it is but for what a terminal would obey."""
    console.print(shown(line), markup=False, soft_wrap=True)


def put(line: str) -> None:
    """A line of data on standard output, as it is and whatever --quiet says."""
    with standard_output():
        print(line)


def say(line: str) -> None:
    """A line on standard error, as it is but for what a terminal would obey."""
    status.print(shown(line), markup=False, soft_wrap=True)


def say_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """In the place of `warnings.showwarning`."""
    # JAX warns of each program that it could not keep, and names a path that nobody asked for.
    if found := _CACHE_TROUBLE.match(str(message)):
        _say_once(f"warning: the cache of compiled programs fails at {found[1]}; what it lacks is compiled")
    else:
        say(f"warning: {message}")


@cache
def _say_once(line: str) -> None:
    say(line)


def progress_bar() -> Progress:
    """A bar on standard error that keeps ticking while a compiled program runs; nothing where it is no terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description:<16}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=status, transient=True, disable=not status.is_terminal)


@contextmanager
def counting_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for utterances, or where standard error is no terminal, a line every 30 s; gives what is told (what, done,
    in all)."""
    with progress_bar() as bar:
        task = bar.add_task("starting", total=None)
        doing, begun, before, said = "", 0.0, 0, time.monotonic()

        def progress(what: str, done: int, total: int) -> None:
            nonlocal doing, begun, before, said
            now = time.monotonic()
            if what != doing:
                doing, begun, before = what, now, done
            line = f"{what} {done}/{total} utterances"
            if done > before:
                line += f", {timedelta(seconds=round((now - begun) / (done - before) * (total - done)))} left"
            bar.update(task, description=line, completed=done, total=total)
            if not status.is_terminal and now - said >= _LINE_SECONDS:
                said = now
                say(line)

        yield progress


@contextmanager
def file_progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for files that are written one after the other; gives what is told (file, bytes done, bytes in all)."""
    columns = (TextColumn("{task.description:<24}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=status, transient=True, disable=not status.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda file, done, total: bar.update(task, description=file, completed=done, total=total)
