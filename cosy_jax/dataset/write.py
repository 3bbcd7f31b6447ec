"""From what was computed to shards."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cosy_jax.dataset.columns import INSTRUCT, LABELS, REJECTED, ROWS_TOGETHER, import_pyarrow, schema, writer
from cosy_jax.dataset.items import Item, LeftOut
from cosy_jax.dataset.read import TOKEN_SECONDS
from cosy_jax.dataset.report import Report, left_out_of
from cosy_jax.errors import CosyError
from cosy_jax.files import whole_file

Parts = list[tuple[list[Item], Path]]  # the items of each shard, and the file of what was computed of them
Progress = Callable[[str, int, int], None]  # is told what is done, utterances done, utterances in all


@dataclass
class Summary:
    """What is known once all is encoded."""

    embeddings: dict[str, np.ndarray]  # float64 (192,), the sum over each speaker's utterances
    counts: Counter[str]  # of each speaker's utterances
    optional: set[str]  # which of the columns that few have are needed
    tokens: int
    left_out: list[LeftOut]

    def speaker_embedding(self, speaker: str) -> list[float]:
        """The mean over the speaker's utterances, float32 (192,)."""
        return (self.embeddings[speaker] / self.counts[speaker]).astype(np.float32).tolist()

    def report(self, left_out: Sequence[LeftOut]) -> Report:
        """With those that were left out before."""
        single = sum(count == 1 for count in self.counts.values())
        seconds = round(self.tokens * TOKEN_SECONDS, 2)
        return Report(self.counts.total(), seconds, len(self.counts), single, [*left_out, *self.left_out])


def summarise(parts: Parts) -> Summary:
    """Of all that was encoded."""
    found = Summary({}, Counter(), set(), 0, [])
    for part, path in parts:
        content = load_encoded(path)
        found.left_out += [left_out_of(left) for left in content["left_out"]]
        for row in content["encoded"]:
            speaker = part[row["index"]].speaker
            found.embeddings[speaker] = found.embeddings.get(speaker, 0) + np.asarray(row["embedding"])
            found.counts[speaker] += 1
            given = {REJECTED: row["rejected_tokens"], LABELS: part[row["index"]].labels}
            found.optional |= {name for name, value in given.items() if value is not None}
            found.tokens += len(row["speech_tokens"])
    return found


def load_encoded(path: Path) -> dict[str, Any]:
    """What `build` kept of a part; CosyError where somebody else has changed it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CosyError(f"Cannot read {path} ({error}): remove it and start again.") from error


def write_shards(folder: Path, parts: Parts, summary: Summary, progress: Progress) -> list[Path]:
    """The shards, those that are there left as they are; parts of which nothing was taken have none."""
    shards, done, total = [], 0, summary.counts.total()
    for number, (part, path) in enumerate(parts):
        rows = load_encoded(path)["encoded"]
        if not rows:
            continue
        shards.append(folder / f"shard-{number:06d}.parquet")
        if not shards[-1].exists():
            try:
                _write_shard(shards[-1], part, rows, summary)
            except _ChangedError:
                for stale in (path, *folder.glob("shard-*.parquet")):  # the speakers' means change with it
                    stale.unlink(missing_ok=True)
                raise
        done += len(rows)
        progress("writing", done, total)
    return shards


class _ChangedError(CosyError):
    """A recording is no longer the one that was encoded."""


def _write_shard(path: Path, part: list[Item], rows: list[dict[str, Any]], summary: Summary) -> None:
    pa = import_pyarrow()
    columns = schema(summary.optional)
    with whole_file(path) as file, writer(file, columns) as shard:
        for start in range(0, len(rows), ROWS_TOGETHER):
            together = [_columns(part[row["index"]], row, summary) for row in rows[start : start + ROWS_TOGETHER]]
            shard.write_table(pa.Table.from_pylist(together, schema=columns), ROWS_TOGETHER)


def _columns(item: Item, row: dict[str, Any], summary: Summary) -> dict[str, Any]:
    try:
        content = item.read()
    except (OSError, CosyError):
        content = b""
    if hashlib.sha256(content).hexdigest() != row["digest"]:
        raise _ChangedError(f"{item.wav} was changed while the data was built: start again, and it is encoded anew.")
    return {
        "utt": item.key,
        "audio_data": content,
        "wav": item.wav,
        "text": item.text,
        "spk": item.speaker,
        "utt_embedding": row["embedding"],
        "spk_embedding": summary.speaker_embedding(item.speaker),
        "speech_token": row["speech_tokens"],
        INSTRUCT: item.instruct,
        REJECTED: row["rejected_tokens"],  # left out where the schema has no such column, as are labels
        LABELS: item.labels,
    }
