"""Whether a model speaks as well in a stream, and a page as well as its sentences.

    python -m recipes.embedded_voice.streamed --weights FOLDER --measured build/embedded_voice/measured

Takes the set that `measure` left: speaks each sentence in a stream, by the cached solver, and all of them as one text
in each voice; has both judged by `cosy-jax evaluate`, into `streamed/` and `page/`; then prints the word error rates
beside those of `measure`. What is there is not spoken again.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cosy_jax.audio.write import whole_audio
from cosy_jax.cli import main as cosy_jax
from cosy_jax.errors import CosyError
from cosy_jax.files import write_whole
from cosy_jax.nn.compile_cache import default_cache, start_jax
from cosy_jax.synthesis.request import Request
from cosy_jax.synthesis.synthesizer import Synthesizer

from .common import bar, run
from .measure import JUDGED, SET

Line = dict[str, Any]  # of a set


def pages(lines: list[Line]) -> list[Line]:
    """One line a voice, of all its sentences."""
    texts: defaultdict[str, list[str]] = defaultdict(list)
    for line in lines:
        texts[line["voice"]].append(line["text"])
    return [
        {"key": f"page_{voice}", "text": " ".join(spoken), "voice": voice, "speaker": voice}
        for voice, spoken in texts.items()
    ]


def judged(synthesizer: Synthesizer, lines: list[Line], out: Path, streams: bool) -> dict[str, float]:
    """Word error rate of each voice, and of "all", once the lines are spoken into a folder and judged there."""
    out.mkdir(parents=True, exist_ok=True)
    with bar(out.name, len(lines)) as advance:
        for line in lines:
            path = out / f"{line['key']}.wav"
            if not path.exists():
                request = Request(line["text"], line["voice"])
                with whole_audio(path, synthesizer.config.sample_rate) as file:
                    for piece in _pieces(synthesizer, request, streams):
                        file.write(piece)
            advance()
    write_whole(out / SET, "".join(f"{json.dumps(line)}\n" for line in lines).encode())
    words = ["--set", out / SET, "--weights", synthesizer.weights, "--judge-only", out, "--out", out / JUDGED]
    status = cosy_jax(["evaluate", *map(str, words)])
    if status > 1:
        sys.exit(status)
    return rates(out / JUDGED)


def _pieces(synthesizer: Synthesizer, request: Request, streams: bool) -> Iterator[np.ndarray]:
    if streams:
        return synthesizer.stream(request)
    return (segment.audio for segment in synthesizer.speak_segments(request))


def read_lines(measured: Path) -> list[Line]:
    """The set that was spoken into a folder."""
    return [json.loads(line) for line in (measured / SET).read_text(encoding="utf-8").splitlines()]


def rates(folder: Path, of_readings: bool = False) -> dict[str, float]:
    """Word error rates of each voice and of "all" from what was judged, or of the readings that it was judged beside;
    CosyError where nothing was."""
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CosyError(f"{folder} has no figures: let recipes.embedded_voice.measure write them.") from error
    groups = {**summary["speakers"], "all": summary["all"]}
    judged = {name: figures["reference"] if of_readings else figures for name, figures in groups.items()}
    return {name: figures["word_error_rate"] for name, figures in judged.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="the folder that was measured")
    parser.add_argument("--measured", type=Path, required=True, help="what `measure` wrote")
    args = parser.parse_args()
    whole = rates(args.measured / JUDGED)
    lines = read_lines(args.measured)
    for line in lines:
        line.pop("reference", None)
    start_jax(default_cache())
    synthesizer = Synthesizer(args.weights)
    streamed = judged(synthesizer, lines, args.measured / "streamed", streams=True)
    page = judged(synthesizer, pages(lines), args.measured / "page", streams=False)
    print(f"{'WER %':8}{'whole':>8}{'streamed':>10}{'page':>8}")
    for name, rate in whole.items():
        print(f"{name:8}{100 * rate:8.1f}{100 * streamed[name]:10.1f}{100 * page[name]:8.1f}")


if __name__ == "__main__":
    run(main)
