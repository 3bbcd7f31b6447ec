"""A report as one HTML file that needs nothing but itself."""

from collections.abc import Iterable, Mapping
from html import escape

from cosy_jax import page
from cosy_jax.parity.report import tables
from cosy_jax.parity.report.report import Explanation, Report
from cosy_jax.parity.report.tables import TextTable

_CLASSES = {tables.OK: "good", tables.MISSED: "bad", tables.LOOK_HERE: "bad"}


def to_html(report: Report, pictures: Mapping[str, bytes]) -> str:
    """The whole page; `pictures` are PNG files by the names that `plots.draw` gives them."""
    sections = [_summary(report), _origin(report), _section("Checks", _table(tables.checks_table(report.results)))]
    if report.explanation:
        sections += _explained(report.explanation, pictures)
    mel_and_audio = (_picture(pictures, "mel.png", "mel"), _picture(pictures, "audio.png", "waveform"))
    sections.append(_section("Mel and audio", *mel_and_audio))
    return page.document("Parity with the PyTorch reference", "\n".join(filter(None, sections)))


def _summary(report: Report) -> str:
    total = len(report.checks)
    held = f"{total - report.missed} of {total} checks ok"
    parts = [f'<p class="{"bad" if report.missed else "good"}">{held}</p>']
    if report.explanation:
        findings = report.explanation.diagnosis.findings
        parts += [f'<p class="look">Look first at {escape(tables.sentence(finding))}</p>' for finding in findings[:1]]
        parts += [f"<p>{escape(tables.NOTHING_FOUND)}</p>"] * (not findings)
        parts += [f"<p>Note: {escape(remark)}.</p>" for remark in report.explanation.remarks]
    if report.not_covered:
        parts.append(f"<p>Not covered, no check reads them: {escape(', '.join(report.not_covered))}.</p>")
    return _section("Verdict", *parts)


def _origin(report: Report) -> str:
    ours = TextTable(("ours", ""), list(report.ours.items()))
    return _section("Versions", _table(ours), _table(tables.provenance_table(report.dumps)))


def _explained(explanation: Explanation, pictures: Mapping[str, bytes]) -> Iterable[str]:
    diagnosis = explanation.diagnosis
    layers = [layer for rows in diagnosis.layers.values() for layer in rows]
    yield _section("Findings", _table(tables.findings_table(diagnosis.findings)))
    yield _section(
        "Layers",
        _picture(pictures, "layers.png", "error against layer"),
        _folded("all layers", tables.layers_table(layers, diagnosis.findings)),
    )
    steps = [_folded(dump, tables.steps_table(rows)) for dump, rows in diagnosis.steps.items()]
    yield _section("Euler steps", _picture(pictures, "steps.png", "error against Euler step"), *steps)
    yield _section(
        "First differing ids",
        *(
            f"<p>{escape(tables.difference_title(dump, found))}</p>{_table(tables.difference_table(found))}"
            for dump, differences in explanation.differences.items()
            for found in differences
        ),
    )


def _section(title: str, *parts: str) -> str:
    """Nothing where there is nothing to show."""
    content = "\n".join(filter(None, parts))
    return f"<section>\n<h2>{title}</h2>\n{content}\n</section>" if content else ""


def _table(table: TextTable) -> str:
    if not table.rows:
        return ""
    head = "".join(f"<th>{escape(title)}</th>" for title in table.header)
    body = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in table.rows)
    return f'<div class="wide"><table>\n<tr>{head}</tr>\n{body}\n</table></div>'


def _cell(text: str) -> str:
    return f'<td class="{_CLASSES[text]}">{text}</td>' if text in _CLASSES else f"<td>{escape(text)}</td>"


def _folded(title: str, table: TextTable) -> str:
    return f"<details>\n<summary>{escape(title)}</summary>\n{_table(table)}\n</details>" if table.rows else ""


def _picture(pictures: Mapping[str, bytes], name: str, alt: str) -> str:
    return page.picture(pictures[name], alt) if name in pictures else ""
