"""What `cosy-jax parity` prints."""

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cosy_jax.cli.output import console, shown, tell
from cosy_jax.parity.report import tables
from cosy_jax.parity.report.report import Explanation, Report, Results
from cosy_jax.parity.report.truth import truth_table

_NO_TRUTH = "no float64 in the dumps: capture them with conversions/capture_reference.py --float64"
# Columns of figures that are printed, and how they are called there.
_FIGURES = {"max abs": "max abs", "SNR (dB)": "SNR", "reference's": "ref.", "ratio": "ratio"}
_COLOURS = {tables.OK: "green", tables.MISSED: "bold red", tables.LOOK_HERE: "bold red"}


def print_report(report: Report, trace: bool, truth: bool) -> None:
    """The checks; with `truth` those that float64 judged, as Markdown; with `trace` layers and steps; and the findings
    where some were looked for."""
    _print_checks(report.results)
    for name in report.not_covered:
        tell(f"{name}: not covered, no check reads it")
    total = len(report.checks)
    tell(f"{total - report.missed} of {total} checks ok")
    if truth:
        tell("\n" + (truth_table(report.results) or _NO_TRUTH))
    if report.explanation is None:
        return
    for remark in report.explanation.remarks:
        tell(remark)
    if trace:
        _print_trace(report.explanation)
    _print_findings(report.explanation)


def _print_checks(results: Results) -> None:
    """A row a check below its dump, for a terminal of 80 columns: long cells are folded, and columns that are empty,
    or tell no more than their neighbours, left out. JSON and HTML have them all."""
    table = tables.checks_table(results)
    columns = dict(zip(table.header, zip(*table.rows, strict=True), strict=True))
    figures = [name for name in _FIGURES if any(columns[name])]
    shown = Table("check", box=None, padding=(0, 1, 0, 0))
    for name in figures:
        shown.add_column(_FIGURES[name], justify="right", no_wrap=True)
    for name in ("limit", ""):
        shown.add_column(name)
    before = ""
    for row in (dict(zip(table.header, cells, strict=True)) for cells in table.rows):
        if row["dump"] != before:
            before = row["dump"]
            shown.add_row(Text(before, style="bold"))
        limit = f"{row['limit']}; {row['note']}" if row["note"] else row["limit"]
        cells = [f"  {row['check']}", *(row[name] for name in figures), limit]
        shown.add_row(*map(Text, cells), Text(row["verdict"], style=_COLOURS.get(row["verdict"], "")))
    console.print(shown)


def _print_trace(explanation: Explanation) -> None:
    diagnosis = explanation.diagnosis
    for dump, layers in diagnosis.layers.items():
        _print_titled(dump, tables.layers_table(layers, diagnosis.findings))
    for dump, steps in diagnosis.steps.items():
        _print_titled(f"{dump}, Euler steps", tables.steps_table(steps))


def _print_findings(explanation: Explanation) -> None:
    findings = explanation.diagnosis.findings
    tell("")
    if findings:
        tell("look first at")
        tell(f"  {tables.sentence(findings[0])}")
    else:
        tell(tables.NOTHING_FOUND)
    if findings[1:]:
        tell("what else is out of order, in the order of the data's way")
    for finding in findings[1:]:
        tell(f"  {tables.sentence(finding)}")
    for dump, differences in explanation.differences.items():
        for difference in differences:
            _print_titled(tables.difference_title(dump, difference), tables.difference_table(difference))


def _print_titled(title: str, table: tables.TextTable) -> None:
    if table.rows:
        tell("")
        tell(title)
        _print_table(table)


def _print_table(table: tables.TextTable) -> None:
    drawn = Table(*table.header, box=None)
    for row in table.rows:
        drawn.add_row(*(f"[{_COLOURS[cell]}]{cell}[/]" if cell in _COLOURS else escape(shown(cell)) for cell in row))
    console.print(drawn, soft_wrap=True)
