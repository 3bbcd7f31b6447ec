"""What is evaluated: a set of utterances, as a manifest or in the form of Seed-TTS-eval and CV3-Eval.

A line of a manifest is one of `cosy-jax batch` (`batch.manifest`), which may also have

reference  a recording in which somebody else says the text; a relative path counts from the set's folder
speaker    whose voice it is; in place of a name, utterances of one prompt recording or saved voice go together

Where audio that is there is judged, no voice is needed, and `wav` says where the audio is.

A line of the other form is `key|prompt text|prompt wav|text`, or with `|recording of the text` behind it.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from cosy_jax.batch.fields import TEXT, check_fields, check_once, decoded, folded, pairs, written_lines
from cosy_jax.batch.manifest import FIELDS, NEEDED, PROSE, BadLine, Line, Reading, read_manifest
from cosy_jax.errors import CosyError
from cosy_jax.evaluate.words import words
from cosy_jax.text.normalise import FrontendOptions

_OURS = ("reference", "speaker")
_KINDS = {**FIELDS, **dict.fromkeys(_OURS, TEXT)}
_META = ("key", "prompt_text", "prompt_wav", "text", "reference")


@dataclass(frozen=True)
class Item:
    """One utterance of a set."""

    number: int  # of its line, from 1, blank ones counted too
    key: str
    text: str
    wav: str  # as the line has it, else KEY.wav
    speaker: str  # "" where nothing tells whose voice it is
    prompt: Path | None  # a recording of the voice
    voice: str | None  # in its place, a saved voice's name
    reference: Path | None
    fields: Mapping[str, Any]  # of a batch manifest's line; paths do not depend on the set's folder


def read_set(path: Path, folder: Path) -> list[Item]:
    """All of it; relative paths count from `folder`. CosyError for the first line that is not one, a key that comes
    twice, a text without words, and a set without lines."""
    items = [
        _item(number, _fields(path, number, written), folder) for number, written in written_lines(path, "the set")
    ]
    keys: dict[str, int] = {}
    for item in items:
        if (first := keys.setdefault(folded(item.key), item.number)) != item.number:
            raise CosyError(f"{path}, line {item.number}: line {first} has the key {item.key!r} too: change one.")
        if not words(item.text):
            raise CosyError(f"{path}, line {item.number}: the text {item.text!r} has no word: leave the line out.")
    if not items:
        raise CosyError(f"The set {path} is empty: write a line for each utterance.")
    return items


def batch_lines(items: list[Item], frontend: FrontendOptions) -> list[Line]:
    """The set as the batch pipeline takes it. CosyError for the first line that cannot be spoken."""
    with NamedTemporaryFile("w", encoding="utf-8", prefix="cosy_jax-set-", suffix=".jsonl") as file:
        file.writelines(json.dumps(dict(item.fields)) + "\n" for item in items)
        file.flush()
        return list(_whole(read_manifest(file.name, reading=Reading(Path(), frontend)), items))


def _whole(lines: Iterator[Line | BadLine], items: list[Item]) -> Iterator[Line]:
    for line in lines:
        if isinstance(line, BadLine):
            raise CosyError(f"Line {items[line.number - 1].number} of the set: {line.error}")
        yield line


def _fields(path: Path, number: int, written: bytes | None) -> dict[str, Any]:
    """The fields of a line of either form."""
    try:
        text = decoded(written, "the set").strip()
        if not text.startswith("{"):
            return _meta(text)
        found = [(name, value) for name, value in pairs(text) if value is not None]
        check_once(found)
        fields = dict(found)
        check_fields(fields, _KINDS, PROSE, NEEDED)
        return fields
    except CosyError as error:
        raise CosyError(f"{path}, line {number}: {error}") from error


def _meta(line: str) -> dict[str, Any]:
    parts = [part.strip() for part in line.split("|")]
    if len(parts) not in (len(_META) - 1, len(_META)) or not all(parts[: len(_META) - 1]):
        raise CosyError("The line is neither a JSON object nor key|prompt text|prompt wav|text: write one of them.")
    return {name: part for name, part in zip(_META, parts, strict=False) if part}


def _item(number: int, fields: dict[str, Any], folder: Path) -> Item:
    prompt, voice, reference = (fields.get(name) or None for name in ("prompt_wav", "voice", "reference"))
    spoken = {name: value for name, value in fields.items() if name not in _OURS}
    if prompt:
        spoken["prompt_wav"] = str((folder / prompt).absolute())
    return Item(
        number,
        fields["key"],
        fields["text"],
        fields.get("wav") or f"{fields['key']}.wav",
        fields.get("speaker") or voice or prompt or "",
        folder / prompt if prompt else None,
        voice,
        folder / reference if reference else None,
        spoken,
    )
