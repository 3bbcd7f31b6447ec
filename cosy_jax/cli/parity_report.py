"""What `cosy-jax parity` prints."""

from rich.markup import escape
from rich.table import Table

from cosy_jax.cli.output import console, shown, tell
from cosy_jax.parity.report import tables
from cosy_jax.parity.report.report import Explanation, Report
from cosy_jax.parity.report.truth import truth_table

_NO_TRUTH = "no float64 in the dumps: capture them with conversions/capture_reference.py --float64"
_COLOURS = {tables.OK: "green", tables.MISSED: "bold red", tables.LOOK_HERE: "bold red"}


def print_report(report: Report, trace: bool, truth: bool) -> None:
    """The checks; with `truth` those that float64 judged, as Markdown; with `trace` layers and steps; and the findings
    where some were looked for."""
    _print_table(tables.checks_table(report.results))
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
