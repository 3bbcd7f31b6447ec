"""Reading data for training: any utterance of a folder of shards, ours or the reference's.

N speech tokens, S samples.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cosy_jax.audio.read import decode_audio
from cosy_jax.audio.resample import resample
from cosy_jax.dataset.columns import (
    COMPUTED,
    GIVEN,
    INSTRUCT,
    LABELS,
    REJECTED,
    check_types,
    import_pyarrow,
    open_shard,
    read_rows,
    shard_paths,
)
from cosy_jax.errors import CosyError

DATASET_FILE, BUILD_FILE = "dataset.json", "build.json"
TOKEN_SECONDS = 0.04
_NEEDED = tuple(name for name in (*GIVEN, *COMPUTED, INSTRUCT) if name != "wav")
_LIGHT, _AUDIO = (*(name for name in _NEEDED if name != "audio_data"), REJECTED, LABELS), ("audio_data",)
_CACHED_BYTES = 2**30
_OPEN_SHARDS = 64


@dataclass(frozen=True)
class Utterance:
    """One recording with what is said in it."""

    key: str
    text: str
    instruct: str  # stands in front of the text and ends with <|endofprompt|>
    speaker: str
    speech_tokens: np.ndarray  # int32 (N,), 25 Hz
    utterance_embedding: np.ndarray  # float32 (192,), not normalised
    speaker_embedding: np.ndarray  # float32 (192,), the mean over the speaker's utterances
    rejected_tokens: np.ndarray | None  # int32 (N',): what it should not have been said like, for DPO
    labels: np.ndarray | None  # int32 (N,), or a sequence for CTC: what the speech tokenizer is to learn
    read_recording: Callable[[], bytes] = field(repr=False)  # the audio file as it is, which not all training needs

    def samples(self, rate: int) -> np.ndarray:
        """The recording at `rate` Hz, float32 (S,), divided by its peak where that is above 1.

        CosyError where it cannot be read. Reference: cosyvoice/dataset/processor.py, resample.
        """
        content = self.read_recording()
        return peak_limited(*decode_audio(content, f"The recording of '{self.key}'", max_seconds=None), rate)


def peak_limited(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Samples float (S,) at another rate, within -1 and 1, as all training sees them."""
    resampled = resample(samples, from_hz, to_hz)
    return resampled / max(np.abs(resampled).max(initial=0), np.float32(1))


class Dataset:
    """The utterances of all shards by number; for any number of threads.

    Lengths are in memory, and the row groups that were read last, up to 1 GiB. `encoders` is the digest of the encoders
    that made tokens and embeddings (`checkpoint.reader.encoders_digest`), "" where that is not known.
    """

    def __init__(self, shards: list[Path], encoders: str) -> None:
        """CosyError as `open_dataset`."""
        self.encoders = encoders
        self.shards = shards
        self._lock = threading.Lock()
        self._open: OrderedDict[int, Any] = OrderedDict()
        self._cache: OrderedDict[tuple[int, int, tuple[str, ...]], Any] = OrderedDict()
        self._bytes = 0  # of what is in it
        found = [_scan(path) for path in shards]
        self.keys: list[str] = [key for part in found for key in part.keys]
        self.speakers: list[str] = [speaker for part in found for speaker in part.speakers]
        self.label_classes = 1 + max(part.largest_label for part in found)
        self.token_counts = np.concatenate([part.tokens for part in found]).astype(np.int32)
        self.rejected_counts = np.concatenate([part.rejected for part in found]).astype(np.int32)
        self.text_lengths = np.concatenate([part.letters for part in found]).astype(np.int32)
        self.seconds = (self.token_counts * TOKEN_SECONDS).astype(np.float32)
        self._groups = [(shard, group) for shard, part in enumerate(found) for group in range(len(part.rows))]
        self._ends = np.cumsum([rows for part in found for rows in part.rows])

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Utterance:
        """CosyError where its shard is damaged; IndexError beyond the last."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        group = int(np.searchsorted(self._ends, index, side="right"))
        table = self._table(*self._groups[group], _LIGHT)
        row = index - int(self._ends[group]) + table.num_rows
        value = {name: table.column(name)[row] for name in table.column_names}
        if empty := [name for name in _NEEDED if name in value and not value[name].is_valid]:
            raise self._lacking(index, group, empty)
        return Utterance(
            key=value["utt"].as_py(),
            text=value["text"].as_py(),
            instruct=value[INSTRUCT].as_py(),
            speaker=value["spk"].as_py(),
            speech_tokens=_array(value["speech_token"], np.int32),
            utterance_embedding=_array(value["utt_embedding"], np.float32),
            speaker_embedding=_array(value["spk_embedding"], np.float32),
            rejected_tokens=_optional(value.get(REJECTED)),
            labels=_optional(value.get(LABELS)),
            read_recording=partial(self._recording, index, group, row),
        )

    def texts(self) -> Iterator[tuple[str, str]]:
        """Instruction and text of every utterance, in their order."""
        for path in self.shards:
            table = read_rows(path, open_shard(path), [INSTRUCT, "text"])
            yield from zip(*(table.column(name).to_pylist() for name in (INSTRUCT, "text")), strict=True)

    def _recording(self, index: int, group: int, row: int) -> bytes:
        content = self._table(*self._groups[group], _AUDIO).column("audio_data")[row].as_py()
        if content is None:
            raise self._lacking(index, group, ["audio_data"])
        return content

    def _lacking(self, index: int, group: int, columns: list[str]) -> CosyError:
        shard = self.shards[self._groups[group][0]]
        return CosyError(f"Utterance {index} of {shard} has no {' and no '.join(columns)}: build the data again.")

    def _table(self, shard: int, group: int, names: tuple[str, ...]) -> Any:
        key = (shard, group, names)
        with self._lock:
            if key not in self._cache:
                opened = self._shard(shard)
                columns = [name for name in names if name in opened.schema_arrow.names]
                self._cache[key] = read_rows(self.shards[shard], opened, columns, [group])
                self._bytes += self._cache[key].nbytes
                while len(self._cache) > 1 and self._bytes > _CACHED_BYTES:
                    self._bytes -= self._cache.popitem(last=False)[1].nbytes
            self._cache.move_to_end(key)
            return self._cache[key]

    def _shard(self, shard: int) -> Any:
        if shard not in self._open:
            self._open[shard] = open_shard(self.shards[shard])
            if len(self._open) > _OPEN_SHARDS:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(shard)
        return self._open[shard]


def open_dataset(folder: str | Path) -> Dataset:
    """The data of a folder that `cosy-jax dataset build`, or the reference's tools, wrote.

    CosyError, one sentence, where there is none, its building is not finished, columns are missing, a shard is missing
    or damaged, or an utterance has no speech tokens.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise CosyError(f"There is no folder {folder}: make training data with `cosy-jax dataset build`.")
    check_complete(folder)
    paths = shard_paths(folder)
    if not paths:
        raise CosyError(f"{folder} holds no training data: make it with `cosy-jax dataset build`.")
    return Dataset(paths, str(read_record(folder).get("encoders", "")))


def check_complete(folder: Path) -> None:
    """CosyError for a folder whose building was not finished."""
    if (folder / BUILD_FILE).is_file() and not (folder / DATASET_FILE).is_file():
        raise CosyError(f"The data in {folder} is not complete: start the `cosy-jax dataset build` of it again.")


def read_record(folder: Path) -> dict[str, Any]:
    """What dataset.json says, {} where there is none; CosyError for one that is not ours."""
    path = folder / DATASET_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CosyError(f"Cannot read {path} ({error}): build the data again.") from error
    if not isinstance(content, dict):
        raise CosyError(f"{path} is not of a training set: build the data again.")
    return content


@dataclass(frozen=True)
class _Scanned:
    """A shard's utterances without their audio."""

    keys: list[str]
    speakers: list[str]
    largest_label: int  # -1 without any
    tokens: np.ndarray  # int (rows,)
    rejected: np.ndarray  # int (rows,), 0 without any
    letters: np.ndarray  # int (rows,), of the texts
    rows: list[int]  # of each row group


def _scan(path: Path) -> _Scanned:
    pa = import_pyarrow()
    shard = open_shard(path)
    check_types(path, shard)
    missing = [name for name in _NEEDED if name not in shard.schema_arrow.names]
    if missing:
        raise CosyError(
            f"The shard {path} lacks {', '.join(missing)}: let `cosy-jax dataset build {path.parent} OUT` complete it."
        )
    spoken = [name for name in ("speech_token", REJECTED) if name in shard.schema_arrow.names]
    labelled = [LABELS] if LABELS in shard.schema_arrow.names else []
    table = read_rows(path, shard, ["utt", "text", "spk", *spoken, *labelled])
    labels = pa.compute.list_flatten(table.column(LABELS)) if labelled else pa.array([], pa.int64())
    keys = table.column("utt").to_pylist()
    counts = {name: pa.compute.list_value_length(table.column(name)).fill_null(0).to_numpy() for name in spoken}
    tokens = counts["speech_token"]
    letters = pa.compute.utf8_length(table.column("text")).fill_null(0).to_numpy()
    if len(empty := np.flatnonzero(tokens == 0)):
        raise CosyError(
            f"The shard {path} has {len(empty)} utterances without speech tokens, such as '{keys[empty[0]]}': let "
            f"`cosy-jax dataset build {path.parent} OUT` make them anew."
        )
    groups = range(shard.num_row_groups)
    rejected = counts.get(REJECTED, np.zeros_like(tokens))
    largest = pa.compute.max(labels).as_py()
    speakers, largest = table.column("spk").to_pylist(), -1 if largest is None else largest
    return _Scanned(
        keys,
        speakers,
        largest,
        tokens,
        rejected,
        letters,
        [shard.metadata.row_group(group).num_rows for group in groups],
    )


def _optional(value: Any) -> np.ndarray | None:
    return _array(value, np.int32) if value is not None and value.is_valid else None


def _array(value: Any, dtype: type) -> np.ndarray:
    return value.values.to_numpy(zero_copy_only=False).astype(dtype)
