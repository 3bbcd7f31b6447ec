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
from cosy_jax.evaluate.words import Errors
from cosy_jax.files import write_whole
from cosy_jax.text.escape import escaped

NAME = "results.jsonl"
_START, _NEEDED = b'{"key"', ("key", "text", "speaker", "wav", "inputs")
_FIGURES = ("head_silence", "tail_silence", "clipped", "peak_db", "rms_db", "f0_median", "f0_spread", "voiced")
_MOST = 1e9  # of whatever is measured

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
        """What was found of an utterance from the same inputs; None where it is to be judged, errors and what somebody
        has changed too."""
        found = self._known.get(key)
        return found if found and found["inputs"] == inputs and _has_figures(found) else None

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
    return escaped(json.dumps(judgement, ensure_ascii=False, allow_nan=False)).encode(errors="backslashreplace") + b"\n"


def _read(path: Path) -> dict[str, Judgement]:
    """The judgements of a file by key; a line that a kill cut off is left out."""
    found: dict[str, Judgement] = {}
    for _, written in written_lines(path, "the results"):
        try:
            judgement = json.loads(written or b"")
            json.dumps(judgement, allow_nan=False)  # what could not be written again
        except (ValueError, RecursionError):
            if (written or b"").startswith(_START):
                continue
            judgement = None
        if not isinstance(judgement, dict) or not all(isinstance(judgement.get(name), str) for name in _NEEDED):
            raise CosyError(f"{path} is not of `cosy-jax evaluate`: name another folder.")
        found[judgement["key"]] = judgement
    return found


def _has_figures(found: Judgement) -> bool:
    """Whether all that is made of a judgement is there, of its type."""
    optional = ("reference", "dnsmos")
    parts = [found[name] for name in optional if found.get(name) is not None]
    return (
        "error" not in found
        and isinstance(found.get("heard"), str)
        and all(_are_counts(found.get(name)) for name in ("words", "characters"))
        and _is_number(found.get("seconds"))
        and all(name in found and (found[name] is None or _is_number(found[name])) for name in _FIGURES)
        and isinstance(found.get("nearest"), str | None)
        and (found.get("similarity") is None or _is_number(found["similarity"]))
        and all(isinstance(part, dict) for part in parts)
        and (found.get("dnsmos") is None or all(map(_is_number, found["dnsmos"].values())))
        and (found.get("reference") is None or isinstance(found["reference"].get("wav"), str))
        and (found.get("reference") is None or _has_figures(found["reference"]))
    )


def _are_counts(value: Any) -> bool:
    names = Errors.__dataclass_fields__.keys()
    return isinstance(value, dict) and value.keys() == names and all(type(count) is int for count in value.values())


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= _MOST  # not NaN
