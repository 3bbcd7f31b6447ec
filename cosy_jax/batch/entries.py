"""The lines of a results file, one JSON object for each line of a manifest that is dealt with.

spoken  key, line (its number), wav, text, seed, seconds (of audio), tokens, text_tokens, fallbacks, stages (seconds in
        each), run (1 for the first that wrote into the folder), digests (those of an `Origin`, and of the audio's file)
failed  key, line, error
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cosy_jax.batch.manifest import BadLine, Line


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


def spoken_entry(outcome: Outcome, run: int, audio_digest: str | None) -> dict[str, Any]:
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
    # Names of files may hold bytes that are no characters; they become escapes, which JSON reads.
    return json.dumps(entry, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def read_entries(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of a results file, oldest first; a last line that is still being written is left out."""
    with path.open("rb") as file:
        for line in file:
            with suppress(ValueError):  # a crash of the machine can leave anything: that line is then spoken again
                entry = json.loads(line)
                if line.endswith(b"\n") and isinstance(entry, dict) and ("error" in entry or "wav" in entry):
                    yield entry
