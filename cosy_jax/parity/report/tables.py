"""The tables of a report as cells of text, for the terminal and for HTML alike."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

from cosy_jax.parity.check import Check
from cosy_jax.parity.locate.diagnosis import Finding
from cosy_jax.parity.locate.steps import StepError
from cosy_jax.parity.locate.trace import LayerError
from cosy_jax.parity.report.ids import IdDifference
from cosy_jax.parity.report.report import Results

OK, MISSED, LOOK_HERE = "ok", "MISSED", "first finding"  # cells that a table may colour

NOTHING_FOUND = "No layer or step that was compared is out of order."

# The figures of a check that have a column: title, field, format.
_FIGURES = (
    ("max abs", "max_abs", ".2e"),
    ("mean abs", "mean_abs", ".2e"),
    ("SNR (dB)", "snr_db", ".1f"),
    ("reference's", "reference_snr_db", ".1f"),
    ("ratio", "ratio", ".2f"),
)


class TextTable(NamedTuple):
    """A title for each column, and as many cells a row."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def checks_table(results: Results) -> TextTable:
    """A row a check."""
    titles = (title for title, _, _ in _FIGURES)
    rows = [_check_row(dump, check) for dump, checks in results for check in checks]
    return TextTable(("dump", "check", *titles, "limit", "verdict", "note"), rows)


def _check_row(dump: str, check: Check) -> tuple[str, ...]:
    figures = (_number(getattr(check, field), form) for _, field, form in _FIGURES)
    return (dump, check.name, *figures, check.limit, OK if check.ok else MISSED, check.note)


def layers_table(layers: Sequence[LayerError], findings: Sequence[Finding]) -> TextTable:
    """A row a layer; the one that the first finding names is marked."""
    first = [(finding.stage, finding.place) for finding in findings[:1]]
    rows = [
        (
            layer.stage,
            layer.name,
            _number(layer.ours, ".2e"),
            _number(layer.reference, ".2e"),
            f"{layer.ours / layer.reference:.3g}" if layer.reference else "",
            LOOK_HERE if (layer.stage, layer.name) in first else "",
        )
        for layer in layers
    ]
    return TextTable(("stage", "layer", "ours", "reference's own", "ratio", ""), rows)


def steps_table(steps: Sequence[StepError]) -> TextTable:
    """A row an Euler step: mean and largest error of its input and of both velocities."""
    rows = [(str(step.step), f"{step.t:.4f}", *(_number(figure, ".2e") for figure in step[2:])) for step in steps]
    figures = (f"{name}, {kind}" for name in ("x", "v cond", "v uncond") for kind in ("mean", "max"))
    return TextTable(("step", "t", *figures), rows)


def findings_table(findings: Sequence[Finding]) -> TextTable:
    """A row a finding, the place to look first."""
    rows = [(str(number), *finding) for number, finding in enumerate(findings, 1)]
    return TextTable(("", "stage", "place", "what", "likely cause"), rows)


def sentence(finding: Finding) -> str:
    """A finding as it stands in a list."""
    likely = f" Likely: {finding.likely}." if finding.likely else ""
    return f"{finding.stage}, {finding.place}: {finding.what}.{likely}"


def difference_title(dump: str, difference: IdDifference) -> str:
    """What differs, in a few words."""
    ids = f"ours {difference.ours}, the reference's {difference.theirs}"
    return f"{dump}, {difference.run} ids: the first to differ is that of step {difference.step}, {ids}"


def difference_table(difference: IdDifference) -> TextTable:
    """Both distributions' likeliest ids beside each other."""
    pairs = zip_longest(difference.ours_top, difference.theirs_top)
    rows = [(str(rank), *_likely(ours), *_likely(theirs)) for rank, (ours, theirs) in enumerate(pairs, 1)]
    return TextTable(("rank", "our id", "p", "the reference's id", "p"), rows)


def _likely(entry: tuple[int, float] | None) -> tuple[str, str]:
    return (str(entry[0]), f"{entry[1]:.5f}") if entry else ("", "")


def provenance_table(dumps: Mapping[str, Mapping[str, str]]) -> TextTable:
    """A row a dump, a column a key of the metadata, those that most dumps have first."""
    counts = Counter(key for metadata in dumps.values() for key in metadata)
    keys = sorted(counts, key=lambda key: (-counts[key], key))
    rows = [(dump, *(metadata.get(key, "") for key in keys)) for dump, metadata in dumps.items()]
    return TextTable(("dump", *keys), rows)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
