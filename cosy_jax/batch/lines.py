"""Lines of a file that somebody else wrote, however long they are."""

from collections.abc import Iterator
from typing import BinaryIO


def bounded_lines(file: BinaryIO, longest: int) -> Iterator[bytes | None]:
    """The lines with their ends, from where the file stands; None in place of one that reaches `longest` bytes, of
    which no more than that is in memory at a time."""
    while line := file.readline(longest):
        if len(line) < longest:
            yield line
            continue
        while not line.endswith(b"\n") and (line := file.readline(longest)):
            pass
        yield None
