"""The manifest of `cosy-jax batch`: what to speak, one JSON object a line.

key          names the utterance, each line its own
text         what to say
prompt_wav   the voice: a recording; a relative path counts from the manifest's folder
voice        in place of a recording: the name of a saved voice
prompt_text  what is said in the recording; mode zero-shot needs it
instruct     how to speak; mode instruct is then the default
mode         zero-shot (default), cross-lingual or instruct
seed, speed  0 and 1 where they are not given
wav          where the speech goes in the output folder, .wav or .flac; KEY.wav where it is not given

A field that is null counts as not given. Blank lines are skipped.

Names have to differ in more than the case of letters and how accents are encoded: there are file systems on which such
files are one.

A manifest may also be plain text, one text a line, all in one voice; the keys are then the lines' numbers.
"""

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from cosy_jax.audio.write import check_suffix
from cosy_jax.batch.fields import (
    TEXT,
    UNWRITABLE,
    Kinds,
    check_fields,
    check_once,
    decoded,
    folded,
    pairs,
    readable_key,
    written_lines,
)
from cosy_jax.batch.key_set import KeySet
from cosy_jax.batch.origin import Origin
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.request import Request
from cosy_jax.text.normalise import FrontendOptions

FIELDS: Kinds = {
    **dict.fromkeys(("key", "text", "prompt_wav", "voice", "prompt_text", "instruct", "mode", "wav"), TEXT),
    "seed": ((int,), "a whole number"),
    "speed": ((int, float), "a number"),
}
_NAMES = {"recording": "prompt_wav", "transcript": "prompt_text"}  # of a request's fields, where they differ
_LONGEST_PART = 249  # bytes of a file's name: 255 less those of the hidden one that it has while it is written
_MOST_SHARDS = 10**6
_DIGITS = 6  # of the keys of plain text; more lines have longer ones
# Behind the name of what is.
_USED = "is used before, whatever the case of its letters and the encoding of its accents: give each line its own."
PROSE = frozenset({"text", "prompt_text", "instruct"})  # fields that may be as long as a line
NEEDED = ("key", "text")


@dataclass(frozen=True)
class Line:
    """One utterance to speak."""

    number: int  # of the line in the manifest, from 1, blank ones counted too
    key: str
    request: Request
    wav: str  # relative to the output folder
    origin: Origin | None = None  # of the speech; None where it is not known


@dataclass(frozen=True)
class BadLine:
    """A line that cannot be spoken."""

    number: int
    key: str | None  # None where none could be read
    error: str  # one sentence


@dataclass(frozen=True)
class Reading:
    """How lines become requests."""

    folder: Path | None = None  # that relative recordings count from; None: the manifest's own
    frontend: FrontendOptions | None = None  # how texts are normalised and split
    # For plain text: the fields of each line's `Request` beside text and front end. None: lines are JSON.
    plain: Mapping[str, Any] | None = None


def read_manifest(
    path: str | Path, num_shards: int = 1, shard_index: int = 0, reading: Reading | None = None
) -> Iterator[Line | BadLine]:
    """The lines of a shard, read as they are asked for.

    Of the lines that are not blank, shard s takes number s, s + num_shards, ..., counted from 0. A key or a wav that an
    earlier line has, of whichever shard, makes a bad line, and so does a line of more than 1 MB. CosyError for a shard
    that cannot be, at the call, and for a file that cannot be read, at the first line.
    """
    check_shard(num_shards, shard_index)
    path, reading = Path(path), reading or Reading()
    reading = replace(reading, folder=reading.folder or path.parent)
    return islice(_unique(_parsed(path, reading)), shard_index, None, num_shards)


def count_lines(path: str | Path, num_shards: int = 1, shard_index: int = 0) -> int:
    """How many lines `read_manifest` will give; errors as there."""
    check_shard(num_shards, shard_index)
    return sum(1 for _ in islice(written_lines(Path(path)), shard_index, None, num_shards))


def check_shard(num_shards: int, shard_index: int) -> None:
    """CosyError unless there is such a shard."""
    if num_shards > _MOST_SHARDS:
        raise CosyError(f"A manifest cannot be split into {num_shards} shards: make at most {_MOST_SHARDS}.")
    if not 0 <= shard_index < num_shards:
        raise CosyError(
            f"There is no shard {shard_index} of {num_shards}: number N shards, at least one, from 0 to N - 1."
        )


def _unique(lines: Iterable[Line | BadLine]) -> Iterator[Line | BadLine]:
    with closing(KeySet()) as keys, closing(KeySet()) as wavs:
        for line in lines:
            if line.key is not None and not keys.add(folded(line.key)):
                yield BadLine(line.number, line.key, f"The key {line.key!r} {_USED}")
            elif isinstance(line, Line) and not wavs.add(folded(line.wav)):
                yield BadLine(line.number, line.key, f"The wav {line.wav!r} {_USED}")
            else:
                yield line


def _parsed(path: Path, reading: Reading) -> Iterator[Line | BadLine]:
    for number, written in written_lines(path):
        fields: dict[str, Any] = {}
        try:
            text = decoded(written)
            if reading.plain is not None:
                yield _plain_line(number, text.strip(), reading)
                continue
            found = pairs(text)
            fields = {name: value for name, value in found if value is not None}
            check_once(found)
            check_fields(fields, FIELDS, PROSE, NEEDED)
            yield _line(number, fields, reading)
        except CosyError as error:
            yield BadLine(number, readable_key(fields), error.naming(_name))


def _name(field: str) -> str:
    return _NAMES.get(field, field)


def _plain_line(number: int, text: str, reading: Reading) -> Line:
    if UNWRITABLE.search(text):
        raise CosyError("The line holds a NUL: leave it out.")
    key = f"{number:0{_DIGITS}d}"
    return Line(number, key, Request(text, frontend=reading.frontend, **(reading.plain or {})), f"{key}.wav")


def _line(number: int, fields: dict[str, Any], reading: Reading) -> Line:
    recording = fields.get("prompt_wav")
    request = Request(
        fields["text"],
        voice=fields.get("voice") or None,
        recording=(reading.folder or Path()) / recording if recording else None,
        transcript=fields.get("prompt_text") or None,
        mode=fields.get("mode") or None,
        instruct=fields.get("instruct"),
        seed=fields.get("seed", 0),
        speed=_speed(fields.get("speed", 1.0)),
        frontend=reading.frontend,
    )
    return Line(number, fields["key"], request, _wav(fields))


def leaves_folder(path: str | PurePosixPath) -> bool:
    """Whether a path is not within the folder that it counts from."""
    path = PurePosixPath(path)
    return path.is_absolute() or ".." in path.parts


def _speed(speed: int | float) -> float:
    try:
        return float(speed)
    except OverflowError:
        return math.inf


def _wav(fields: dict[str, Any]) -> str:
    """Where the speech goes, normalised, so that two spellings of one path are equal."""
    path = PurePosixPath(fields.get("wav", f"{fields['key']}.wav"))
    if leaves_folder(path):
        remedy = "name a file inside it" if "wav" in fields else "name one inside it in the field wav"
        raise CosyError(f"The file {str(path)!r} leaves the output folder: {remedy}.")
    if any(len(os.fsencode(part)) > _LONGEST_PART for part in path.parts):
        raise CosyError(f"A file's name has more than {_LONGEST_PART} bytes: name a shorter one in the field wav.")
    check_suffix(str(path))
    return str(path)
