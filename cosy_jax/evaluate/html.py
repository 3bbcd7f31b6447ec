"""An evaluation as a page: figures, then every utterance with its sound, worst first."""

from collections.abc import Callable
from html import escape
from urllib.parse import quote

from cosy_jax import page
from cosy_jax.evaluate import tables
from cosy_jax.evaluate.judgements import Judgement
from cosy_jax.evaluate.summary import Summary, word_errors, worst_first
from cosy_jax.evaluate.words import Marked, verdict

STYLE = """
article { margin: 1.5rem 0; padding: .6rem 1rem; background: var(--card); }
article h3 { margin: 0; font-size: 15px; }
article p { margin: .3rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; margin: .4rem 0; }
dt { color: var(--soft); } dd { margin: 0; }
mark { background: none; color: var(--bad); text-decoration: underline; font-weight: 600; }
audio { width: 100%; max-width: 32rem; height: 2rem; }
svg { width: 100%; height: 3.5rem; fill: var(--good); background: var(--back); display: block; }
article img { height: 6rem; border: 0; image-rendering: pixelated; }
"""

Draw = Callable[[Judgement], str]  # pictures of an utterance, as HTML


def to_html(summary: Summary, judgements: list[Judgement], total: int, draw: Draw) -> str:
    """The whole page; `total` is how many utterances the set has."""
    parts = [_overview(summary)]
    if len(judgements) < total:
        parts.insert(0, f'<p class="look">{len(judgements)} of {total} utterances are judged so far.</p>')
    parts.append("<h2>Utterances, worst first</h2>")
    parts += [_article(judgement, draw) for judgement in worst_first(judgements)]
    return page.document("How good the speech is", "\n".join(parts), STYLE)


def _overview(summary: Summary) -> str:
    table = tables.overview(summary)
    head = "".join(f"<th>{escape(title)}</th>" for title in table.header)
    rows = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    lines = "\n".join(f"<p>{escape(line)}.</p>" for line in (tables.LEGEND, *tables.remarks(summary)))
    return f'<div class="wide"><table>\n<tr>{head}</tr>\n{rows}\n</table></div>\n{lines}'


def _article(judgement: Judgement, draw: Draw) -> str:
    title = f"<h3>{escape(judgement['key'])}</h3>"
    if "error" in judgement:
        return f'<article>{title}<p class="bad">{escape(judgement["error"])}</p></article>'
    found = verdict(judgement["text"], judgement["heard"])
    rows = [("text", marked(found.text)), ("heard", marked(found.heard))]
    if reference := judgement.get("reference"):
        rows.append(("reference heard", marked(verdict(judgement["text"], reference["heard"]).heard)))
        rows.append(("reference", player(reference["wav"])))
    texts = "".join(f"<dt>{name}</dt><dd>{content}</dd>" for name, content in rows)
    return (
        f"<article>{title}<p>{escape(_line(judgement))}</p>{player(judgement['wav'])}"
        f"<dl>{texts}</dl>{draw(judgement)}</article>"
    )


def _line(judgement: Judgement) -> str:
    """The figures of an utterance."""
    parts = [f"word error rate {word_errors(judgement).rate:.0%}", f"{judgement['seconds']:.2f} s"]
    if judgement["speaker"]:
        parts.insert(0, judgement["speaker"])
    if judgement["f0_median"] is not None:
        parts.append(f"F0 {judgement['f0_median']:.0f} Hz")
    if judgement.get("similarity") is not None:
        parts.append(f"similarity {judgement['similarity']:.2f}")
    if judgement.get("nearest") not in (None, judgement["speaker"]):
        parts.append(f"nearer to {judgement['nearest']}")
    if judgement["clipped"]:
        parts.append(f"{judgement['clipped']} samples clipped")
    if judgement["peak_db"] is None:
        parts.append("without sound")
    return ", ".join(parts)


def marked(words: Marked) -> str:
    """Words, those that differ marked."""
    return " ".join(f"<mark>{escape(word)}</mark>" if differs else escape(word) for word, differs in words)


def player(path: str) -> str:
    """Of a recording, its path seen from the page."""
    return f'<audio controls preload="none" src="{escape(quote(path, errors="backslashreplace"))}"></audio>'
