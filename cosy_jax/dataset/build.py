"""Makes a folder of training data: whole shards or none, going on where an earlier process was killed."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cosy_jax.dataset.columns import import_pyarrow
from cosy_jax.dataset.encode import Encoded, Encoders
from cosy_jax.dataset.items import Source
from cosy_jax.dataset.plan import held_folder, plan_of
from cosy_jax.dataset.read import DATASET_FILE
from cosy_jax.dataset.report import REPORT_FILE, Report, read_report, write_report
from cosy_jax.dataset.write import Parts, Progress, summarise, write_shards
from cosy_jax.errors import CosyError
from cosy_jax.files import write_whole

_ENCODED = "encoded"


def build_dataset(source: Source, encoders: Encoders, out: str | Path, shard_size: int, progress: Progress) -> Report:
    """Writes the source's utterances into the folder `out`, `shard_size` of them (before some are left out) a shard.

    What an earlier call with the same arguments has finished stays; `report.json` is written, and returned. CosyError
    where the folder is another's or held, nothing of the source can be used, or a file cannot be written.
    """
    if shard_size < 1:
        raise CosyError(f"Shards of {shard_size} utterances cannot be made: give at least 1.", "shard_size")
    import_pyarrow()  # before the work
    folder, items = Path(out), source.items
    plan = plan_of(source, encoders.digest, {"shard_size": shard_size, **encoders.bounds.to_dict()})
    starts = range(0, len(items), shard_size)
    encoded = [folder / _ENCODED / f"{number:06d}.json" for number in range(len(starts))]
    parts = [(items[start : start + shard_size], path) for start, path in zip(starts, encoded, strict=True)]
    with held_folder(folder, plan):
        if not (folder / DATASET_FILE).exists():
            _encode(parts, encoders, progress)
            summary = summarise(parts)
            report = summary.report(source.left_out)
            write_report(folder, report)
            if not report.taken:
                raise CosyError(f"No utterance can be used, {folder / REPORT_FILE} says why: correct the source.")
            _finish(folder, write_shards(folder, parts, summary, progress), report, plan)
        shutil.rmtree(folder / _ENCODED, ignore_errors=True)
        return read_report(folder)


def _encode(parts: Parts, encoders: Encoders, progress: Progress) -> None:
    """What is computed of each part, into files that are whole or not there."""
    total, done = sum(len(part) for part, _ in parts), 0
    for part, path in parts:
        if not path.exists():
            encoded, left_out = encoders.encode(part, partial(_advanced, progress, done, total))
            content = {"encoded": [_as_json(row) for row in encoded], "left_out": [vars(left) for left in left_out]}
            write_whole(path, json.dumps(content).encode())
        done += len(part)
        progress("encoding", done, total)


def _advanced(progress: Progress, before: int, total: int, count: int) -> None:
    progress("encoding", before + count, total)


def _as_json(row: Encoded) -> dict[str, Any]:
    arrays = {name: value.tolist() for name, value in vars(row).items() if isinstance(value, np.ndarray)}
    return vars(row) | arrays


def _finish(folder: Path, shards: list[Path], report: Report, plan: dict[str, Any]) -> None:
    """The two files that make shards a training set."""
    write_whole(folder / "data.list", "".join(f"{shard.resolve()}\n" for shard in shards).encode())
    content = plan | {
        "utterances": report.taken,
        "seconds": report.seconds,
        "speakers": report.speakers,
        "shards": [shard.name for shard in shards],
    }
    write_whole(folder / DATASET_FILE, json.dumps(content, indent=2).encode())
