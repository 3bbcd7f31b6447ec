"""The lines of a results file, one JSON object for each line of a manifest that is dealt with.

spoken  key, line (its number), wav, text, seed, seconds (of audio), tokens, text_tokens, fallbacks, stages (seconds in
        each), run (1 for the first that wrote into the folder), digests (those of an `Origin`, and of the audio's file)
failed  key, line, error
"""

import json
import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cosy_jax.audio.write import check_suffix
from cosy_jax.batch.fields import UNWRITABLE
from cosy_jax.batch.lines import bounded_lines
from cosy_jax.batch.manifest import BadLine, Line, leaves_folder
from cosy_jax.batch.origin import Origin
from cosy_jax.errors import CosyError
from cosy_jax.text.escape import escaped

SHOWN_FAILURES = 10  # of a run, once it has ended; the results have all of them
_LONGEST = 2**23  # bytes of an entry: a line of a manifest takes at most an eighth, and escapes six times its bytes
_MOST = 10**9  # of whatever is counted
_START, _KEY, _BEHIND_KEY = b'{"key": ', re.compile(rb'"(?:[^"\\]++|\\.)*+"|null'), b', "line": '
_DIGEST = re.compile("[0-9a-f]{0,64}")
_REMEDY = "move the file elsewhere, or name another folder"


@dataclass(frozen=True)
class Outcome:
    """What became of a line; with an error, only that has a meaning."""

    line: Line | BadLine
    seconds: float = 0.0  # of audio
    tokens: int = 0  # of speech
    text_tokens: int = 0
    fallbacks: int = 0  # draws repeated by the repetition rule
    stages: dict[str, float] = field(default_factory=dict)  # wall seconds
    error: str = ""


def spoken_entry(outcome: Outcome, run: int, audio_digest: str) -> dict[str, Any]:
    """Of a line whose audio is complete."""
    line = outcome.line
    assert isinstance(line, Line)
    origin = asdict(line.origin) if line.origin else {}
    return {
        "key": line.key,
        "line": line.number,
        "wav": line.wav,
        "text": line.request.text,
        "seed": line.request.seed,
        "seconds": round(outcome.seconds, 5),
        "tokens": outcome.tokens,
        "text_tokens": outcome.text_tokens,
        "fallbacks": outcome.fallbacks,
        "stages": {stage: round(seconds, 4) for stage, seconds in outcome.stages.items()},
        "run": run,
        "digests": {**origin, "audio": audio_digest},
    }


def failed_entry(line: Line | BadLine, error: str) -> dict[str, Any]:
    """Of a line that is not spoken."""
    return {"key": line.key, "line": line.number, "error": error}


def encoded(entry: dict[str, Any]) -> bytes:
    """An entry as it stands in the file."""
    return escaped(json.dumps(entry, ensure_ascii=False)).encode() + b"\n"


def read_entries(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of a results file, oldest first; a last line that is still being written is left out, and so is what
    a crash of the machine can leave in any line.

    CosyError where the file cannot be read, and for what is not ours: an object that is no entry, or no entry at all.
    """
    found = strange = False
    for number, line in enumerate(_lines(path), 1):
        if line is None:
            raise CosyError(f"{path}, line {number}, is longer than any entry of cosy-jax: {_REMEDY}.")
        entry = _parsed(line)
        if isinstance(entry, dict):
            if problem := entry_problem(entry):
                raise CosyError(f"{path}, line {number}, is no entry of cosy-jax ({problem}): {_REMEDY}.")
            if line.endswith(b"\n"):
                found = True
                yield entry
        else:
            strange |= bool(line.strip(b"\0\r\n\t ")) and not begins_an_entry(line)
    if strange and not found:
        raise CosyError(f"{path} holds no entry of cosy-jax: {_REMEDY}.")


def last_line(path: Path) -> bytes:
    """What follows the last end of a line, b"" where nothing does; of a file that `read_entries` has read."""
    last = deque(_lines(path), maxlen=1)
    return last[0] if last and last[0] and not last[0].endswith(b"\n") else b""


def begins_an_entry(line: bytes) -> bool:
    """Whether an entry begins as this does: all of one that a kill cut off, or more."""
    if not _agree(line, _START):
        return False
    key = line[len(_START) :]
    whole = _KEY.match(key)
    if whole is None:
        return key.startswith(b'"') or b"null".startswith(key)
    return _agree(key[whole.end() :], _BEHIND_KEY)


def _agree(one: bytes, other: bytes) -> bool:
    return one.startswith(other) or other.startswith(one)


def _lines(path: Path) -> Iterator[bytes | None]:
    try:
        if not path.is_file():
            raise CosyError(f"{path} is no file: {_REMEDY}.")
        with path.open("rb") as file:
            yield from bounded_lines(file, _LONGEST)
    except OSError as error:
        raise CosyError(f"Cannot read {path}: {error.strerror}.") from error


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def entry_problem(entry: dict[str, Any]) -> str:
    """What of it we would not have written; "" where we would."""
    error, key = entry.get("error"), entry.get("key")
    if not isinstance(key, str | None) or key is None and error is None or key and UNWRITABLE.search(key):
        return "key"
    if not _is_count(entry.get("line"), 1):
        return "line"
    if error is not None:
        return "" if isinstance(error, str) else "error"
    checks = {
        "wav": _is_audio_inside(entry.get("wav")),
        "tokens": _is_count(entry.get("tokens"), 0),
        "seconds": type(entry.get("seconds")) in (int, float) and 0 <= entry["seconds"] <= _MOST,
        "run": _is_count(entry.get("run", 1), 1),
        "digests": _are_digests(entry.get("digests", {})),
    }
    return next((name for name, right in checks.items() if not right), "")


def _is_count(value: Any, least: int) -> bool:
    return type(value) is int and least <= value <= _MOST


def _is_audio_inside(wav: Any) -> bool:
    """Whether it names an audio file that we may touch."""
    if not isinstance(wav, str) or UNWRITABLE.search(wav) or leaves_folder(wav):
        return False
    with suppress(CosyError):
        check_suffix(wav)
        return True
    return False


def _are_digests(digests: Any) -> bool:
    """Those of an origin are all there, or none is."""
    if not isinstance(digests, dict):
        return False
    if not all(isinstance(digest, str) and _DIGEST.fullmatch(digest) for digest in digests.values()):
        return False
    return len(Origin.__dataclass_fields__.keys() & digests.keys()) in (0, len(Origin.__dataclass_fields__))
