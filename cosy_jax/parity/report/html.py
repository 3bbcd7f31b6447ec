"""A report as one HTML file that needs nothing but itself."""

import base64
from collections.abc import Iterable, Mapping
from html import escape

from cosy_jax.parity.report import tables
from cosy_jax.parity.report.report import Explanation, Report
from cosy_jax.parity.report.tables import TextTable

_STYLE = """
:root { color-scheme: light dark; --back: #ffffff; --text: #1c2024; --soft: #60656c; --line: #d9dce0; --card: #f4f5f7;
  --good: #18794e; --bad: #c62a2f; }
@media (prefers-color-scheme: dark) {
  :root { --back: #15181b; --text: #e6e8ea; --soft: #9ba1a8; --line: #363b40; --card: #1e2226;
    --good: #4cc38a; --bad: #ff6369; }
}
body { margin: 2rem auto; max-width: 76rem; padding: 0 1rem; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
.wide { overflow-x: auto; margin: 1rem 0; }
.look { padding: .6rem 1rem; background: var(--card); border-left: 4px solid var(--bad); }
.good { color: var(--good); }
.bad { color: var(--bad); font-weight: 600; }
img { width: 100%; height: auto; background: #ffffff; border: 1px solid var(--line); }
summary { cursor: pointer; color: var(--soft); }
"""
_CLASSES = {tables.OK: "good", tables.MISSED: "bad", tables.LOOK_HERE: "bad"}


def to_html(report: Report, pictures: Mapping[str, bytes]) -> str:
    """The whole page; `pictures` are PNG files by the names that `plots.draw` gives them."""
    sections = [_summary(report), _origin(report), _section("Checks", _table(tables.checks_table(report.results)))]
    if report.explanation:
        sections += _explained(report.explanation, pictures)
    mel_and_audio = (_picture(pictures, "mel.png", "mel"), _picture(pictures, "audio.png", "waveform"))
    sections.append(_section("Mel and audio", *mel_and_audio))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Parity with the PyTorch reference</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        "<h1>Parity with the PyTorch reference</h1>\n" + "\n".join(filter(None, sections)) + "\n</body>\n</html>\n"
    )


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
    if name not in pictures:
        return ""
    content = base64.b64encode(pictures[name]).decode("ascii")
    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{content}">'
