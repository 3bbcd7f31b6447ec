"""What the recipe's commands share: a bar, and errors as one sentence."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cosy_jax.cli.output import progress_bar, say
from cosy_jax.errors import CosyError


@contextmanager
def bar(name: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on standard error; gives what is called for each thing that is done."""
    with progress_bar() as progress:
        task = progress.add_task(name, total=total)
        yield lambda: progress.advance(task)


def run(main: Callable[[], None]) -> None:
    """Runs a command; a CosyError is a sentence on standard error and exit status 2."""
    try:
        main()
    except CosyError as error:
        say(f"error: {error}")
        sys.exit(2)
