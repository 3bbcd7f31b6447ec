"""Every way in which a command can fail, but for faults of ours: one sentence and an exit status."""

import os
import signal
import sys
from contextlib import suppress

from cosy_jax.cli.common import flag
from cosy_jax.cli.output import shown
from cosy_jax.cli.signals import Interrupted, exit_status
from cosy_jax.errors import CosyError

BAD_INPUT = 2  # and what the machine refuses


def ended(error: BaseException) -> int:
    """Says on standard error why a command ended, and gives its exit status; raises what is a fault of ours.

    Notes on the error, such as the name of what was kept, belong to the sentence.
    """
    error = _interruption(error) or error
    if isinstance(error, BrokenPipeError):
        return exit_status(signal.SIGPIPE)
    if isinstance(error, KeyboardInterrupt):
        _say("interrupted", getattr(error, "__notes__", ["nothing was left half written"]))
        return error.status if isinstance(error, Interrupted) else exit_status(signal.SIGINT)
    if (sentence := _sentence(error)) is None:
        raise error
    _say(sentence, getattr(error, "__notes__", []))
    return BAD_INPUT


def _interruption(error: BaseException) -> KeyboardInterrupt | None:
    """The signal behind an error: compiled code, such as JAX's comparisons, makes errors of its own of what is raised
    while it runs."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, KeyboardInterrupt):
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return seen


def _sentence(error: BaseException) -> str | None:
    if isinstance(error, CosyError):
        return error.naming(flag)
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return f"{reason}." if error.filename is None else f"{os.fsdecode(error.filename)}: {reason}."
    if isinstance(error, UnicodeError):
        return f"A text or a name is not UTF-8 ({error}): convert it."
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return "The memory does not suffice: take a shorter text, or --dtype bfloat16 or int8."
    return None


def _say(sentence: str, notes: list[str]) -> None:
    if notes:
        sentence = "; ".join([sentence.rstrip("."), *notes]) + "."
    with suppress(OSError):  # then nothing can be said
        print(f"cosy-jax: {shown(sentence)}", file=sys.stderr, flush=True)
