"""How well a model speaks beside flite, which taught it: 100 sentences that it never heard, in each of the four voices.

    python -m recipes.embedded_voice.measure --weights FOLDER --out build/embedded_voice/measured

Writes `set.jsonl` and the teacher's readings, `audio/`; speaks and judges the set with `cosy-jax evaluate`, into
`judged/`, where each reading is the reference of the same sentence; then prints what is wanted beside what was found.
What is there is neither spoken nor judged again.
"""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from cosy_jax.cli import main as cosy_jax
from cosy_jax.errors import CosyError
from cosy_jax.files import write_whole

from .common import bar, run
from .speak import Task, record_all
from .speakers import BASE
from .texts import EVALUATION, held_out

SET, JUDGED = "set.jsonl", "judged"

Figures = dict[str, Any]  # of one voice, as `cosy-jax evaluate` has them in summary.json


class _Column(NamedTuple):
    title: str
    value: Callable[[Figures], float | None]
    form: str
    wanted: str = ""
    is_met: Callable[[float], bool] = lambda value: True


_COLUMNS = (
    _Column("sentences", lambda of: of["utterances"], ".0f"),
    _Column("teacher WER %", lambda of: 100 * of["reference"]["word_error_rate"], ".1f"),
    _Column("pupil WER %", lambda of: 100 * of["word_error_rate"], ".1f"),
    _Column(
        "difference",
        lambda of: 100 * (of["word_error_rate"] - of["reference"]["word_error_rate"]),
        "+.1f",
        "<= 8",
        lambda points: points <= 8,
    ),
    _Column(
        "voice right %", lambda of: 100 * of["nearest_speaker_right"], ".1f", ">= 98", lambda percent: percent >= 98
    ),
    _Column(
        "F0 x teacher",
        lambda of: of["reference"]["f0_ratio"],
        ".3f",
        "within 5 %",
        lambda ratio: abs(ratio - 1) <= 0.05,
    ),
    _Column(
        "length within 15 %",
        lambda of: 100 * of["reference"]["duration_within_15_percent"],
        ".1f",
        ">= 95",
        lambda percent: percent >= 95,
    ),
)


def write_set(out: Path, texts: list[str]) -> Path:
    """The set that is spoken and judged, with the teacher's readings; the file of its lines. CosyError where flite is
    missing, or reads a text too short or too long to be compared."""
    tasks = [Task(f"{index:03d}_{voice.name}", text, voice) for index, text in enumerate(texts) for voice in BASE]
    with bar("teacher", len(tasks)) as advance:
        readings = {entry["key"]: entry["wav"] for entry in record_all(tasks, out, ".wav", advance)}
    if unread := next((task for task in tasks if task.key not in readings), None):
        raise CosyError(f"flite's reading of {unread.text!r} is too short or too long: use another sentence.")
    lines = [
        {
            "key": task.key,
            "text": task.text,
            "voice": task.speaker.name,
            "speaker": task.speaker.name,
            "reference": readings[task.key],
        }
        for task in tasks
    ]
    path = out / SET
    write_whole(path, "".join(f"{json.dumps(line)}\n" for line in lines).encode())
    return path


def table(summary: dict[str, Any]) -> list[tuple[str, ...]]:
    """Rows of cells: titles, a row a voice and one of all, what is wanted; a figure that misses it has a `*`."""
    groups = [*summary["speakers"].items(), ("all", summary["all"])]
    return [
        ("", *(column.title for column in _COLUMNS)),
        *((name, *(_cell(column, figures) for column in _COLUMNS)) for name, figures in groups),
        ("wanted", *(column.wanted for column in _COLUMNS)),
    ]


def _cell(column: _Column, figures: Figures) -> str:
    try:
        value = column.value(figures)
    except TypeError:  # computed from one that nobody has
        value = None
    if value is None:  # such as F0 where nothing is voiced
        return "none*"
    return f"{value:{column.form}}{'' if column.is_met(value) else '*'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="the converted folder, with the four voices")
    parser.add_argument("--out", type=Path, required=True, help="where all of it goes; created where needed")
    parser.add_argument("--texts", default=EVALUATION[0], choices=EVALUATION, help="default: %(default)s")
    parser.add_argument("--count", type=int, help="so many of its sentences (default: all)")
    args = parser.parse_args()
    lines = write_set(args.out, held_out(args.texts)[: args.count])
    judged = args.out / JUDGED
    status = cosy_jax(["evaluate", "--set", str(lines), "--weights", str(args.weights), "--out", str(judged)])
    if status > 1:  # 1: some utterances failed, which the figures say
        sys.exit(status)
    rows = table(json.loads((judged / "summary.json").read_text(encoding="utf-8")))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        print(
            "  ".join(
                [name.ljust(widths[0]), *(f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))]
            )
        )


if __name__ == "__main__":
    run(main)
