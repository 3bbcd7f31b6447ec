"""`results.jsonl` of an evaluation: what is known of each utterance, a JSON object a line, the latest of a key counts.

Each has key, text, speaker, wav (seen from the file's folder) and inputs, a digest of all that it was judged from; then
the figures of `listen`, similarity and nearest; or, in place of all figures, the error.
"""

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from cosy_jax.batch.fields import written_lines
from cosy_jax.batch.hold import hold
from cosy_jax.errors import CosyError
from cosy_jax.files import write_whole
from cosy_jax.text.escape import escaped

NAME = "results.jsonl"
_START, _NEEDED = b'{"key"', ("key", "text", "speaker", "wav", "inputs")

Judgement = dict[str, Any]


class Judgements:
    """A folder's results file, which no other process has meanwhile; created where needed. CosyError where it is not
    ours, or cannot be written."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        known = _read(self.path) if self.path.exists() else {}
        self._file = hold(self.path, 1)
        self._known = known

    def __enter__(self) -> "Judgements":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def of(self, key: str, inputs: str) -> Judgement | None:
        """What was found of an utterance from the same inputs; None where it is to be judged, errors too."""
        found = self._known.get(key)
        return found if found and found["inputs"] == inputs and "error" not in found else None

    def add(self, judgement: Judgement) -> None:
        """Writes it behind the others."""
        self._known[judgement["key"]] = judgement
        try:
            os.write(self._file, _encoded(judgement))
        except OSError as error:
            raise CosyError(f"Cannot write {self.path}: {error.strerror}.") from error

    def settle(self, judgements: list[Judgement]) -> None:
        """Lets the file hold these alone, in this order."""
        write_whole(self.path, b"".join(map(_encoded, judgements)))


def _encoded(judgement: Judgement) -> bytes:
    return escaped(json.dumps(judgement, ensure_ascii=False, allow_nan=False)).encode() + b"\n"


def _read(path: Path) -> dict[str, Judgement]:
    """The judgements of a file by key; a line that a kill cut off is left out."""
    found: dict[str, Judgement] = {}
    for _, written in written_lines(path, "the results"):
        try:
            judgement = json.loads(written or b"")
        except (ValueError, RecursionError):
            if (written or b"").startswith(_START):
                continue
            judgement = None
        if not isinstance(judgement, dict) or not all(isinstance(judgement.get(name), str) for name in _NEEDED):
            raise CosyError(f"{path} is not of `cosy-jax evaluate`: name another folder.")
        found[judgement["key"]] = judgement
    return found
