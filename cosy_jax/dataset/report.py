"""What a build tells of the utterances that it was given."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosy_jax.dataset.items import LeftOut, Reason
from cosy_jax.errors import CosyError
from cosy_jax.files import write_whole

REPORT_FILE = "report.json"
_REPORTED = ("taken", "seconds", "speakers", "single_speakers")


@dataclass(frozen=True)
class Report:
    """What became of all utterances of a source."""

    taken: int
    seconds: float  # of audio, of those taken
    speakers: int
    single_speakers: int  # with one utterance: its embedding is then the speaker's
    left_out: list[LeftOut]

    def reasons(self) -> dict[Reason, int]:
        """How many were left out for which reason, the most frequent first."""
        return dict(Counter(left.reason for left in self.left_out).most_common())


def read_report(folder: Path) -> Report:
    """The report of a folder; CosyError where it has none."""
    path = folder / REPORT_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        values = {name: content[name] for name in _REPORTED}
        return Report(**values, left_out=[left_out_of(left) for left in content["utterances"]])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CosyError(f"Cannot read {path} ({error}): build the data again.") from error


def write_report(folder: Path, report: Report) -> None:
    """report.json; CosyError where it cannot be written."""
    content = {name: getattr(report, name) for name in _REPORTED}
    content |= {"left_out": report.reasons(), "utterances": [vars(left) for left in report.left_out]}
    write_whole(folder / REPORT_FILE, json.dumps(content, indent=2, ensure_ascii=False).encode())


def left_out_of(fields: dict[str, Any]) -> LeftOut:
    """What `vars` makes of one, after its way through JSON."""
    return LeftOut(**{**fields, "reason": Reason(fields["reason"])})
