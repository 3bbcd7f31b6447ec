"""The lines of a manifest, one JSON object each, as fields whose types are known."""

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from cosy_jax.batch.lines import bounded_lines
from cosy_jax.errors import CosyError

LONGEST_NAME = 4096  # characters of a key, a path or another name
UNWRITABLE = re.compile("[\0\ud800-\udfff]")  # NUL and lone surrogates: neither file names nor UTF-8 have them
_LONGEST_LINE = 2**20  # bytes
_SHOWN = 40  # characters of a field that is not known

Kinds = Mapping[str, tuple[tuple[type, ...], str]]  # of each field: its types, and what they are called
TEXT = ((str,), "text")


def written_lines(path: Path, what: str = "the manifest") -> Iterator[tuple[int, bytes | None]]:
    """The lines that are not blank, each with its number, blank ones counted too; None in place of one of more than
    1 MB. CosyError for a file that cannot be read, which is called `what`."""
    try:
        with path.open("rb") as file:
            lines = enumerate(bounded_lines(file, _LONGEST_LINE), 1)
            yield from ((number, line) for number, line in lines if line is None or line.strip())
    except OSError as error:
        raise CosyError(f"Cannot read {what} {path}: {error.strerror}.") from error


def decoded(written: bytes | None, what: str = "the manifest") -> str:
    """A line of `written_lines` as text; CosyError for one that is too long or not UTF-8."""
    if written is None:
        raise CosyError(f"The line has more than {_LONGEST_LINE} bytes: split the text.")
    try:
        return written.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CosyError(f"The line is not UTF-8: save {what} in that encoding.") from error


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written, a name twice where it is there twice."""


def pairs(text: str) -> list[tuple[str, Any]]:
    """The names and values of a JSON object, in the order of the line; CosyError where it is none."""
    try:
        found = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise CosyError(f"The line is not JSON ({error}): write one object a line.") from error
    if not isinstance(found, _Pairs):
        raise CosyError("The line is no JSON object: write {...} with key and text.")
    return found


def check_once(found: list[tuple[str, Any]]) -> None:
    """CosyError for a name that an object has twice."""
    for name, count in Counter(name for name, _ in found).items():
        if count > 1:
            raise CosyError(f"The field {name[:_SHOWN]!r} is given {count} times: give it once.")


def check_fields(fields: Mapping[str, Any], kinds: Kinds, prose: Collection[str], needed: Collection[str]) -> None:
    """CosyError for unknown fields, `needed` ones that are missing, and values of another type, or too long and not
    `prose`."""
    for name, value in fields.items():
        if name not in kinds:
            raise CosyError(f"Unknown field {name[:_SHOWN]!r}: the fields are {', '.join(kinds)}.")
        types, kind = kinds[name]
        if type(value) not in types:
            raise CosyError(f"The field {name} is not {kind}: write it as {kind}.")
        if isinstance(value, str) and UNWRITABLE.search(value):
            raise CosyError(f"The field {name} holds a NUL or half a character: leave it out.")
        if isinstance(value, str) and len(value) > LONGEST_NAME and name not in prose:
            raise CosyError(f"The field {name} has more than {LONGEST_NAME} characters: give a shorter one.")
    for name in needed:
        if not fields.get(name, "").strip():
            raise CosyError(f"The field {name} is missing or empty: every line needs it.")


def readable_key(fields: Mapping[str, Any]) -> str | None:
    """The key of a line that may be faulty; None where none can be read."""
    key = fields.get("key")
    if not isinstance(key, str) or len(key) > LONGEST_NAME or UNWRITABLE.search(key):
        return None
    return key


def folded(name: str) -> str:
    """What is the same for names that are one on some file system: Unicode's canonical caseless form."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
