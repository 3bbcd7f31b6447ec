"""Texts from the command line, from a file and from standard input: UTF-8 whatever the locale says."""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cosy_jax.errors import CosyError

STANDARD_INPUT = "-"


def text_argument(word: str) -> str:
    """The type of options that are texts: their bytes read as UTF-8."""
    try:
        return os.fsencode(word).decode("utf-8")
    except UnicodeError as error:
        raise argparse.ArgumentTypeError("not UTF-8: convert the text") from error


def read_text(path: str) -> str:
    """A text file in one line, "-" for standard input; CosyError where it cannot be read or is not UTF-8."""
    if path == STANDARD_INPUT:
        return _one_line(arriving_lines())
    try:
        with Path(path).open("rb") as file:
            return _one_line(_decoded(file, path))
    except OSError as error:
        raise CosyError(f"Cannot read the text {path}: {error.strerror}.") from error


def arriving_lines() -> Iterator[str]:
    """The lines of standard input as they come; CosyError where it is closed, and at a line that is not UTF-8."""
    if sys.stdin is None:
        raise CosyError("Standard input is closed: pipe the text in, or give it with --text or --text-file.")
    return _decoded(sys.stdin.buffer, "standard input")


def _decoded(file: BinaryIO, name: str) -> Iterator[str]:
    number = 0
    try:
        for number, line in enumerate(file, 1):
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeError as error:
        raise CosyError(f"Line {number} of {name} is not UTF-8: convert it.") from error
    except OSError as error:
        raise CosyError(f"Cannot read {name}: {error.strerror}.") from error


def _one_line(lines: Iterator[str]) -> str:
    return " ".join(stripped for line in lines if (stripped := line.strip()))
