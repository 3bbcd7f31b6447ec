"""What became of the lines: the ledger of a run on a cluster, and of those before it.

results/RUN-BLOCK.jsonl or .parquet has the entries (`batch.entries`) of a block of lines; it is written in one go, when
the audio of all of them is in its place. So an entry is as good as its audio, and a block without its file was not
spoken, whoever was killed and when. `shard` in an entry names the file that the audio is in, where that is not `wav`.
"""

import io
import json
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any

import numpy as np

from cosy_jax.batch.entries import Outcome, encoded, entry_problem, failed_entry
from cosy_jax.batch.key_set import KeySet
from cosy_jax.batch.ledger import Ledger, Standing
from cosy_jax.batch.manifest import Line
from cosy_jax.cluster.layout import FOLDER as AUDIO
from cosy_jax.cluster.storage import LocalFolder, Storage
from cosy_jax.dataset.columns import import_pyarrow
from cosy_jax.errors import CosyError

FORMS = ("jsonl", "parquet")
_FOLDER = "results"
_NAME = re.compile(rf"{_FOLDER}/((\d+)-[^/]+)\.(?:{'|'.join(FORMS)})")
_TOGETHER = 1000  # lines that are not spoken, in one file
_MAPS = ("stages", "digests")


def block_name(run: int, block: int | str) -> str:
    """The name that all files of a block have in common."""
    return f"{run:04d}-{block:08d}" if isinstance(block, int) else f"{run:04d}-{block}"


def entries_name(block: str, form: str) -> str:
    """Where a block's entries lie."""
    return f"{_FOLDER}/{block}.{form}"


def write_entries(storage: Storage, block: str, form: str, entries: Sequence[dict[str, Any]]) -> None:
    """A block's entries, all at once; CosyError where they cannot be written."""
    content = b"".join(map(encoded, entries)) if form == "jsonl" else _parquet(entries)
    storage.write(entries_name(block, form), content)


def read_entries(storage: Storage, name: str) -> list[dict[str, Any]]:
    """The entries of a block's file; CosyError where it cannot be read, or is not ours."""
    content, found = storage.read(name), list[Any]()
    with suppress(ValueError, RecursionError):
        found = (
            _from_parquet(content) if name.endswith(".parquet") else [json.loads(each) for each in content.splitlines()]
        )
    if not found or any(not isinstance(entry, dict) or entry_problem(entry) for entry in found):
        raise CosyError(
            f"{name} holds something else than entries of cosy-jax: move it elsewhere, or name another --out."
        )
    return found


class Record:
    """The driver's view: what earlier runs have spoken into a storage, in this layout, and the lines that cannot be
    spoken, written when it is left. It has what `batch.delivery` asks of results."""

    def __init__(self, storage: Storage, form: str, layout: str) -> None:
        """CosyError where an earlier run's entries cannot be read."""
        sharded = layout != "files"
        self._storage, self._form = storage, form
        self._ledger, self._bad, self._files = Ledger(), list[dict[str, Any]](), 0
        names = [(name, match) for name in storage.names(_FOLDER) if (match := _NAME.fullmatch(name))]
        self.run = 1 + max((int(match[2]) for _, match in names), default=0)
        self._is_there = (lambda _: True) if sharded else _presence(storage)
        shards = _recorded_shards(storage, {match[1] for _, match in names})
        for name, _ in names:
            for entry in read_entries(storage, name):
                shard = entry.get("shard") or ""
                if "error" not in entry and bool(shard) == sharded and (not shard or shard in shards):
                    self._ledger.enter(entry)

    def __enter__(self) -> "Record":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ledger.close()
        self._write_bad()

    def standing(self, line: Line) -> Standing:
        """Whether a line was spoken by an earlier run, in this layout, and is there as it would be spoken now."""
        return self._ledger.standing(line, self._is_there)

    def deliver(self, outcome: Outcome, samples: np.ndarray | None, sample_rate: int) -> Outcome:
        """Notes a line that cannot be spoken."""
        self._bad.append(failed_entry(outcome.line, outcome.error))
        if len(self._bad) >= _TOGETHER:
            self._write_bad()
        return outcome

    def _write_bad(self) -> None:
        if self._bad:
            write_entries(self._storage, block_name(self.run, f"bad-{self._files:06d}"), self._form, self._bad)
            self._bad, self._files = [], self._files + 1


def _presence(storage: Storage) -> Callable[[str], bool]:
    if isinstance(storage, LocalFolder):
        return storage.exists
    names = KeySet()  # one listing costs less than a question for each line
    for name in storage.names(""):
        names.add(name)
    return names.__contains__


def _recorded_shards(storage: Storage, blocks: set[str]) -> set[str]:
    """The shards of recorded blocks. Those of other blocks are removed: their lines will be in another one."""
    kept = set()
    for name in storage.names(AUDIO):
        if name.removeprefix(f"{AUDIO}/").partition(".")[0] in blocks:
            kept.add(name)
        elif re.fullmatch(rf"{AUDIO}/\d+-\d+\.(?:parquet|tar)", name):
            storage.remove(name)
    return kept


def _parquet(entries: Sequence[dict[str, Any]]) -> bytes:
    pa = import_pyarrow()
    text, count = pa.string(), pa.int64()
    types = dict.fromkeys(("key", "wav", "shard", "text", "error"), text)
    types |= dict.fromkeys(("line", "seed", "tokens", "text_tokens", "fallbacks", "run"), count)
    types |= {"seconds": pa.float64(), "stages": pa.map_(text, pa.float64()), "digests": pa.map_(text, text)}
    rows = [entry | {name: list(entry[name].items()) for name in _MAPS if name in entry} for entry in entries]
    file = io.BytesIO()
    pa.parquet.write_table(pa.Table.from_pylist(rows, schema=pa.schema(list(types.items()))), file)
    return file.getvalue()


def _from_parquet(content: bytes) -> list[dict[str, Any]]:
    """ValueError where it is none (pyarrow's errors are)."""
    rows = import_pyarrow().parquet.read_table(io.BytesIO(content)).to_pylist()
    found = [{name: value for name, value in row.items() if value is not None} for row in rows]
    # A line whose key could not be read has none.
    return [{"key": None} | row | {name: dict(row[name]) for name in _MAPS if name in row} for row in found]
