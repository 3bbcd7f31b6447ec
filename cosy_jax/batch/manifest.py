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
"""

import json
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from cosy_jax.audio.write import check_suffix
from cosy_jax.batch.key_set import KeySet
from cosy_jax.batch.origin import Origin
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.request import Request
from cosy_jax.text.normalise import FrontendOptions

_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(("key", "text", "prompt_wav", "voice", "prompt_text", "instruct", "mode", "wav"), ((str,), "text")),
    "seed": ((int,), "a whole number"),
    "speed": ((int, float), "a number"),
}
_NAMES = {"recording": "prompt_wav", "transcript": "prompt_text"}  # of a request's fields, where they differ
UNWRITABLE = re.compile("[\0\ud800-\udfff]")  # NUL and lone surrogates: neither file names nor UTF-8 have them


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


def read_manifest(
    path: str | Path, num_shards: int = 1, shard_index: int = 0, frontend: FrontendOptions | None = None
) -> Iterator[Line | BadLine]:
    """The lines of a shard, read as they are asked for; `frontend` says how their texts are normalised and split.

    Of the lines that are not blank, shard s takes number s, s + num_shards, ..., counted from 0. A key or a wav that an
    earlier line has, of whichever shard, makes a bad line. CosyError for a shard that cannot be, at the call, and for a
    file that cannot be read, at the first line.
    """
    check_shard(num_shards, shard_index)
    return islice(_unique(_parsed(Path(path), frontend)), shard_index, None, num_shards)


def count_lines(path: str | Path, num_shards: int = 1, shard_index: int = 0) -> int:
    """How many lines `read_manifest` will give; errors as there."""
    check_shard(num_shards, shard_index)
    return sum(1 for _ in islice(_written(Path(path)), shard_index, None, num_shards))


def check_shard(num_shards: int, shard_index: int) -> None:
    """CosyError unless there is such a shard."""
    if not 0 <= shard_index < num_shards:
        raise CosyError(
            f"There is no shard {shard_index} of {num_shards}: number N shards, at least one, from 0 to N - 1."
        )


def _written(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, each with its number."""
    try:
        with path.open("rb") as file:
            yield from ((number, line) for number, line in enumerate(file, 1) if line.strip())
    except OSError as error:
        raise CosyError(f"Cannot read the manifest {path}: {error.strerror}.") from error


def _unique(lines: Iterable[Line | BadLine]) -> Iterator[Line | BadLine]:
    with closing(KeySet()) as keys, closing(KeySet()) as wavs:
        for line in lines:
            if line.key is not None and not keys.add(line.key):
                yield BadLine(line.number, line.key, f"The key {line.key!r} is used before: give each line its own.")
            elif isinstance(line, Line) and not wavs.add(line.wav):
                yield BadLine(line.number, line.key, f"The wav {line.wav!r} is used before: give each line its own.")
            else:
                yield line


def _parsed(path: Path, frontend: FrontendOptions | None) -> Iterator[Line | BadLine]:
    for number, written in _written(path):
        fields: dict[str, Any] = {}
        try:
            fields = _fields(written)
            _check_fields(fields)
            yield _line(number, fields, path.parent, frontend)
        except CosyError as error:
            yield BadLine(number, _readable_key(fields), error.naming(_name))


def _readable_key(fields: dict[str, Any]) -> str | None:
    key = fields.get("key")
    return key if isinstance(key, str) and not UNWRITABLE.search(key) else None


def _name(field: str) -> str:
    return _NAMES.get(field, field)


def _fields(written: bytes) -> dict[str, Any]:
    try:
        found = json.loads(written.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise CosyError("The line is not UTF-8: save the manifest in that encoding.") from error
    except (ValueError, RecursionError) as error:
        raise CosyError(f"The line is not JSON ({error}): write one object a line.") from error
    if not isinstance(found, dict):
        raise CosyError("The line is no JSON object: write {...} with key and text.")
    return {name: value for name, value in found.items() if value is not None}


def _check_fields(fields: dict[str, Any]) -> None:
    """CosyError for unknown fields, missing ones, and values of another type."""
    for name, value in fields.items():
        if name not in _KINDS:
            raise CosyError(f"Unknown field {name!r}: the fields are {', '.join(_KINDS)}.")
        types, kind = _KINDS[name]
        if type(value) not in types:
            raise CosyError(f"The field {name} is not {kind}: write it as {kind}.")
        if isinstance(value, str) and UNWRITABLE.search(value):
            raise CosyError(f"The field {name} holds a NUL or half a character: leave it out.")
    for name in ("key", "text"):
        if not fields.get(name, "").strip():
            raise CosyError(f"The field {name} is missing or empty: every line needs it.")


def _line(number: int, fields: dict[str, Any], folder: Path, frontend: FrontendOptions | None) -> Line:
    recording = fields.get("prompt_wav")
    request = Request(
        fields["text"],
        voice=fields.get("voice") or None,
        recording=folder / recording if recording else None,
        transcript=fields.get("prompt_text") or None,
        mode=fields.get("mode") or None,
        instruct=fields.get("instruct"),
        seed=fields.get("seed", 0),
        speed=_speed(fields.get("speed", 1.0)),
        frontend=frontend,
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
    check_suffix(str(path))
    return str(path)
