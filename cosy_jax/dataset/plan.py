"""What a folder of training data is being built from, and which process builds it.

build.json      what the data is made from; locked as long as a process builds
encoded/        what was computed, a file for each shard; gone when all is done
shard-*.parquet the shards
report.json     what was left out, and why
data.list       the shards' paths, as the reference's tools write it
dataset.json    counts, options and the digest of the encoders; written last
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cosy_jax.dataset.items import Source
from cosy_jax.dataset.read import BUILD_FILE
from cosy_jax.errors import CosyError

FORMAT_VERSION = 1
_LARGEST_PLAN = 2**16  # bytes


def plan_of(source: Source, encoders: str, options: dict[str, Any]) -> dict[str, Any]:
    """What tells one build from another: digests of the source's lines and of the encoders, and the options."""
    lines = hashlib.sha256()
    for item in source.items:
        fields = (
            item.place,
            item.key,
            item.text,
            item.instruct,
            item.speaker,
            item.wav,
            item.read_rejected is None,
            item.labels,
        )
        lines.update(json.dumps(fields).encode())
    for left in source.left_out:
        lines.update(json.dumps((left.place, left.key, left.error)).encode())
    return {"format_version": FORMAT_VERSION, "source": lines.hexdigest(), "encoders": encoders, "options": options}


@contextmanager
def held_folder(folder: Path, plan: dict[str, Any]) -> Iterator[None]:
    """The folder, created where needed, for this process alone and for this plan.

    CosyError where it holds something else, data of another plan, or another process builds in it.
    """
    try:
        if folder.exists() and not (folder / BUILD_FILE).exists() and any(folder.iterdir()):
            raise CosyError(f"{folder} holds something else than training data: name a new or empty folder.")
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / BUILD_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CosyError(f"Cannot write into {folder}: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CosyError(f"Another process builds in {folder}: wait for it, or name another folder.") from error
        _agree(file, folder, plan)
        yield
    finally:
        os.close(file)


def _agree(file: int, folder: Path, plan: dict[str, Any]) -> None:
    """CosyError where build.json has another plan; an empty one is given this."""
    written = os.pread(file, _LARGEST_PLAN, 0)
    if not written:
        os.pwrite(file, json.dumps(plan, indent=2).encode(), 0)
        return
    try:
        found = json.loads(written)
        differences = [what for name, what in _NAMES.items() if found[name] != plan[name]]
    except (ValueError, KeyError, TypeError) as error:
        raise CosyError(f"{folder / BUILD_FILE} is not of training data: name a new or empty folder.") from error
    if differences:
        raise CosyError(
            f"{folder} is built with another {' and '.join(differences)}: name a new folder, or give what it had."
        )


_NAMES = {
    "format_version": "version of this program",
    "source": "manifest or source folder",
    "encoders": "speech tokenizer or speaker encoder",
    "options": "set of options",
}
