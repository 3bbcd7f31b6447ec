"""A page to hear teacher and pupil beside each other, with waveforms, mels, and what the recogniser heard.

    python -m recipes.embedded_voice.listen --measured build/embedded_voice/measured --out docs/listen

From what `measure` left: two sentences of each voice, those that come next in the set, whatever their figures are. The
page needs nothing but the MP3 files beside it; all of it takes less than 1 MB.
"""

import argparse
import json
from html import escape
from pathlib import Path
from typing import Any

from cosy_jax import page
from cosy_jax.audio.write import write_audio
from cosy_jax.errors import CosyError
from cosy_jax.evaluate.html import STYLE, marked, player
from cosy_jax.evaluate.judgements import NAME as RESULTS
from cosy_jax.evaluate.judgements import Judgement
from cosy_jax.evaluate.pictures import mel_png, waveform_svg
from cosy_jax.evaluate.sound import load
from cosy_jax.evaluate.words import verdict
from cosy_jax.files import write_whole

from .common import run
from .measure import JUDGED, table
from .speakers import BASE

_SENTENCES = 2  # of each voice
_INDEX = "index.html"
_TITLE = "A voice that was trained from nothing, and its teacher"
_INTRODUCTION = (
    "The teacher is flite, a small free synthesiser; the pupil is the embedded model, which learnt from its "
    "recordings. None of these sentences was among them. Words that the recogniser heard otherwise are underlined; a "
    "figure with an asterisk misses what is wanted."
)
_STYLE = """
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1rem 2rem; }
.pair h4 { margin: .4rem 0; }
"""


def choose(judgements: list[Judgement]) -> dict[str, list[Judgement]]:
    """The utterances of each voice that are on the page: two sentences for the first voice, the next two for the
    second, and from the start again where there are no more. CosyError where a voice has none."""
    chosen = {}
    for index, voice in enumerate(BASE):
        own = [one for one in judgements if one["speaker"] == voice.name and "error" not in one and "reference" in one]
        if not own:
            raise CosyError(f"No utterance of {voice.name} was judged beside its teacher: measure the model again.")
        chosen[voice.name] = [own[(_SENTENCES * index + nth) % len(own)] for nth in range(min(_SENTENCES, len(own)))]
    return chosen


def write_page(measured: Path, out: Path) -> int:
    """Writes the page and its recordings; their bytes. CosyError where nothing was measured, and as `choose`."""
    judged = measured / JUDGED
    try:
        judgements = [json.loads(line) for line in (judged / RESULTS).read_text(encoding="utf-8").splitlines()]
        summary = json.loads((judged / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CosyError(f"{measured} has no figures: let recipes.embedded_voice.measure write them.") from error
    chosen = choose(judgements)
    out.mkdir(parents=True, exist_ok=True)
    parts, files = [f"<p>{_INTRODUCTION}</p>", _overview(summary)], [out / _INDEX]
    for voice, utterances in chosen.items():
        parts.append(f"<h2>{escape(voice)}</h2>")
        for number, judgement in enumerate(utterances, 1):
            sides = (("teacher", judgement["reference"]), ("pupil", judgement))
            paths = [out / f"{voice}-{number}-{name}.mp3" for name, _ in sides]
            found = [
                _side(judgement["text"], name, side, judged, path)
                for (name, side), path in zip(sides, paths, strict=True)
            ]
            parts.append(
                f'<article><h3>{escape(judgement["text"])}</h3><div class="pair">{"".join(found)}</div></article>'
            )
            files += paths
    write_whole(out / _INDEX, page.document(_TITLE, "\n".join(parts), STYLE + _STYLE).encode())
    return sum(path.stat().st_size for path in files)


def _side(text: str, name: str, judgement: Judgement, judged: Path, path: Path) -> str:
    """One of both readings, whose recording is written to `path`."""
    samples, rate = load(str(judged / judgement["wav"]))
    write_audio(path, samples, rate)
    found = verdict(text, judgement["heard"])
    pictures = waveform_svg(samples) + page.picture(mel_png(samples, rate), "mel")
    return (
        f"<section><h4>{name}, {judgement['seconds']:.2f} s, word error rate {found.words.rate:.0%}</h4>"
        f"{player(path.name)}{pictures}<dl><dt>words</dt><dd>{marked(found.text)}</dd>"
        f"<dt>heard</dt><dd>{marked(found.heard)}</dd></dl></section>"
    )


def _overview(summary: dict[str, Any]) -> str:
    head, *rows = table(summary)
    cells = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "\n".join(f"<tr>{row}</tr>" for row in cells)
    heard = f"<p>WER: word error rate, as {escape(str(summary['recogniser']))} hears.</p>"
    return f'<div class="wide"><table>\n<tr>{titles}</tr>\n{body}\n</table></div>\n{heard}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, required=True, help="the folder that `measure` wrote")
    parser.add_argument("--out", type=Path, required=True, help="the page's folder; created where needed")
    args = parser.parse_args()
    size = write_page(args.measured, args.out)
    print(f"{args.out / _INDEX}: {size / 1e6:.2f} MB with its recordings")


if __name__ == "__main__":
    run(main)
