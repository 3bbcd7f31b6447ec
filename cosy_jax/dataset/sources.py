"""Where training data comes from: a manifest, a Kaldi-style folder, or shards that somebody else wrote.

A manifest has a JSON object a line:

key           names the utterance, each its own
text          what is said
wav           the recording; a relative path counts from the manifest's folder
speaker       who says it
instruct      how it is said (default: the system prompt that the model was trained with)
rejected_wav  a recording in which it is said as it should not be, for DPO
labels        whole numbers from 0 on, for the speech tokenizer: one a token (40 ms), or a sequence for CTC

A Kaldi-style folder has wav.scp, text and utt2spk, and maybe instruct, each with a key and its value a line; relative
paths in wav.scp count from the folder. Shards (data.list, or *.parquet) have the columns utt, audio_data, wav, text and
spk, and maybe instruct and reject_speech_token; the other columns of theirs are computed anew.
Reference: tools/make_parquet_list.py.
"""

import functools
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from cosy_jax.batch.fields import (
    TEXT,
    UNWRITABLE,
    Kinds,
    check_fields,
    check_once,
    decoded,
    pairs,
    readable_key,
    written_lines,
)
from cosy_jax.dataset.columns import GIVEN, INSTRUCT, LABELS, REJECTED, check_types, open_shard, read_rows, shard_paths
from cosy_jax.dataset.items import Item, LeftOut, Reason, Source, UnusableError
from cosy_jax.dataset.read import check_complete
from cosy_jax.errors import CosyError
from cosy_jax.text.check import SYSTEM_PREFIX, has_speakable, with_instruction
from cosy_jax.text.special_tokens import END_OF_PROMPT

_KINDS: Kinds = dict.fromkeys(("key", "text", "wav", "speaker", "instruct", "rejected_wav"), TEXT) | {
    "labels": ((list,), "a list of whole numbers")
}
_PROSE, _NEEDED = frozenset({"text", "instruct"}), ("key", "wav", "speaker")
_KALDI = ("wav.scp", "text", "utt2spk")
_READING = threading.Lock()
LARGEST_LABEL = 100_000  # a head of so many classes, and no more, is trained


def read_source(path: str | Path) -> Source:
    """The utterances of a manifest's file, of a Kaldi-style folder or of a folder of shards.

    What cannot be taken is left out, with its reason. CosyError where the path is none of them, or cannot be read.
    """
    path = Path(path)
    check_complete(path)
    if path.is_file():
        found = _manifest(path)
    elif (path / "wav.scp").is_file():
        found = _kaldi(path)
    elif shard_paths(path):
        found = _shards(path)
    else:
        raise CosyError(f"No training data at {path}: name a manifest, or a folder with wav.scp or with data.list.")
    return _unique(found)


def _unique(found: Iterator[Item | LeftOut]) -> Source:
    source, keys = Source([], []), set()
    for entry in found:
        if isinstance(entry, LeftOut):
            source.left_out.append(entry)
        elif entry.key in keys:
            error = f"The key {entry.key!r} is used before: give each utterance its own."
            source.left_out.append(LeftOut(entry.place, entry.key, Reason.REPEATED, error))
        else:
            keys.add(entry.key)
            source.items.append(entry)
    return source


def _item(place: str, key: str, read: Any, **fields: Any) -> Item | LeftOut:
    """An utterance, or why it is left out for what it says alone."""
    instruct = (fields.pop("instruct", None) or "").strip()
    if not instruct:
        instruct = SYSTEM_PREFIX
    elif END_OF_PROMPT not in instruct:
        instruct = with_instruction(instruct)
    try:
        _check(fields["text"], fields["speaker"], instruct)
    except UnusableError as error:
        return LeftOut(place, key, error.reason, str(error))
    return Item(place, key, read=read, instruct=instruct, **fields)


def _check(text: str, speaker: str, instruct: str) -> None:
    if not speaker.strip():
        raise UnusableError(Reason.INCOMPLETE, "Nobody is named as the speaker: give each utterance one.")
    if not text.strip():
        raise UnusableError(Reason.UNSPEAKABLE, "The text is empty: write what is said in the recording.")
    if not has_speakable(text):
        raise UnusableError(Reason.UNSPEAKABLE, "The text holds no letter or digit to speak: add at least one word.")
    if END_OF_PROMPT in text or not instruct.endswith(END_OF_PROMPT):
        raise UnusableError(Reason.BAD_LINE, f"{END_OF_PROMPT} is to end the instruction: write it nowhere else.")


def _manifest(path: Path) -> Iterator[Item | LeftOut]:
    for number, written in written_lines(path):
        place, fields = f"line {number}", {}
        try:
            found = pairs(decoded(written))
            fields = {name: value for name, value in found if value is not None}
            check_once(found)
            check_fields(fields, _KINDS, _PROSE, _NEEDED)
            _check_labels(fields.get("labels", []))
        except CosyError as error:
            yield LeftOut(place, readable_key(fields), Reason.BAD_LINE, str(error))
            continue
        rejected = fields.get("rejected_wav")
        yield _item(
            place,
            fields["key"],
            functools.partial(_file, path.parent / fields["wav"]),
            text=fields.get("text", ""),
            speaker=fields["speaker"],
            instruct=fields.get("instruct"),
            wav=str(path.parent / fields["wav"]),
            read_rejected=functools.partial(_file, path.parent / rejected) if rejected else None,
            labels=fields.get("labels"),
        )


def _file(path: Path) -> bytes:
    if not path.is_file():  # which a pipe or a device is not either: they might never end
        raise CosyError(f"No recording at '{path}': give the path of an existing audio file.")
    return path.read_bytes()


def _check_labels(labels: list) -> None:
    if not all(type(label) is int and 0 <= label < LARGEST_LABEL for label in labels):
        raise CosyError(f"The field labels holds something else than whole numbers from 0 to {LARGEST_LABEL - 1}.")


def _kaldi(folder: Path) -> Iterator[Item | LeftOut]:
    names = (*_KALDI, INSTRUCT) if (folder / INSTRUCT).is_file() else _KALDI
    tables: dict[str, dict[str, str]] = {}
    for name in names:
        if not (folder / name).is_file():
            raise CosyError(f"{folder} lacks {name}: a Kaldi-style folder has {', '.join(_KALDI)}.")
        tables[name] = yield from _kaldi_table(folder / name)
    for key in dict.fromkeys(key for name in _KALDI for key in tables[name]):
        place = f"utterance {key}"
        missing = [name for name in _KALDI if key not in tables[name]]
        if missing:
            error = f"{' and '.join(missing)} of {folder} have no line for it: add one to each."
            yield LeftOut(place, key, Reason.INCOMPLETE, error)
            continue
        wav = tables["wav.scp"][key]
        if wav.endswith("|"):
            error = "wav.scp gives a command, and none is run: write the recording into a file, and name that."
            yield LeftOut(place, key, Reason.UNREADABLE, error)
            continue
        yield _item(
            place,
            key,
            functools.partial(_file, folder / wav),
            text=" ".join(tables["text"][key].split()),  # as the reference joins the words again
            speaker=tables["utt2spk"][key],
            instruct=tables.get(INSTRUCT, {}).get(key),
            wav=str(folder / wav),
        )


def _kaldi_table(path: Path) -> Generator[LeftOut, None, dict[str, str]]:
    """The value of each key, returned; yields the lines that cannot be read."""
    table: dict[str, str] = {}
    for number, written in written_lines(path, "the file"):
        place = f"{path.name} line {number}"
        key: str | None = None
        try:
            key, value = [*decoded(written, "the file").strip().split(maxsplit=1), ""][:2]
            if UNWRITABLE.search(key + value):
                raise CosyError("The line holds a NUL: leave it out.")
        except CosyError as error:
            yield LeftOut(place, key, Reason.BAD_LINE, str(error))
            continue
        if key in table:
            yield LeftOut(place, key, Reason.REPEATED, f"The key {key!r} is used before: give each utterance its own.")
            continue
        table[key] = value
    return table


def _shards(folder: Path) -> Iterator[Item | LeftOut]:
    for path in shard_paths(folder):
        shard = open_shard(path)
        check_types(path, shard)
        missing = [name for name in GIVEN if name not in shard.schema_arrow.names]
        if missing:
            raise CosyError(
                f"The shard {path} lacks {', '.join(missing)}, which nothing can be made from: leave it out."
            )
        names = ["utt", "text", "spk", "wav", *({INSTRUCT, REJECTED, LABELS} & set(shard.schema_arrow.names))]
        for group in range(shard.num_row_groups):
            for row, values in enumerate(read_rows(path, shard, names, [group]).to_pylist()):
                yield _shard_row(path, group, row, values)


def _shard_row(path: Path, group: int, row: int, values: dict[str, Any]) -> Item | LeftOut:
    place = f"{path.name} row group {group} row {row}"
    key = values["utt"]
    if not key or values["text"] is None or values["spk"] is None:
        return LeftOut(place, key, Reason.INCOMPLETE, "utt, text or spk is empty: give all three.")
    return _item(
        place,
        key,
        functools.partial(_stored, path, group, row),
        text=values["text"],
        speaker=values["spk"],
        instruct=values.get(INSTRUCT),
        wav=values["wav"] or "",
        rejected_tokens=values.get(REJECTED) or None,
        labels=values.get(LABELS),
    )


def _stored(path: Path, group: int, row: int) -> bytes:
    with _READING:  # threads that ask for one row group at a time would each read it
        content = _group_audio(path, group).column(0)[row].as_py()
    if content is None:
        raise CosyError("Its audio_data is empty: leave the utterance out.")
    return content


@functools.lru_cache(maxsize=2)  # utterances are read in their order: each row group once, however large it is
def _group_audio(path: Path, group: int) -> Any:
    return read_rows(path, open_shard(path), ["audio_data"], [group])
