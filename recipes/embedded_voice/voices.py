"""Four saved voices for a converted folder, each from one recording of flite's, so that it is spoken with by name.

    python -m recipes.embedded_voice.voices --manifest build/embedded_voice/manifest.jsonl --weights FOLDER

They go into FOLDER/voices. Which recording a voice is of: among those of 2.4 to 3.2 s without a pause inside, the one
with the most different phonemes; of equals the longest, then the first by key. Its text is the transcript.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from cosy_jax.conversions.voices import record_voices
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.synthesis.voices import save_voice, weights_voices

from .common import bar, run
from .labels import PITCHES
from .speak import seconds
from .speakers import BASE

# Seconds. The flow solves the prompt's with every utterance: 4 to 7 s took half as long again and were no better.
_LEAST, _MOST = 2.4, 3.2

Entry = dict[str, Any]  # a line of the manifest


def read_entries(manifest: Path) -> list[Entry]:
    """The manifest that `speak` wrote; CosyError where there is none."""
    if not manifest.is_file():
        raise CosyError(f"There is no manifest at {manifest}: write it with recipes.embedded_voice.speak.")
    return [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]


def choose(entries: list[Entry], speaker: str) -> Entry:
    """The recording that the speaker's voice is of; CosyError where none is fit."""
    fit = [entry for entry in entries if entry["speaker"] == speaker and _is_fit(entry)]
    if not fit:
        raise CosyError(f"{speaker} has no recording of {_LEAST:g} to {_MOST:g} s without a pause: speak more texts.")
    return min(fit, key=lambda entry: (-len(set(_phonemes(entry))), -seconds(entry), entry["key"]))


def _is_fit(entry: Entry) -> bool:
    spoken = [index for index, phoneme in enumerate(_phonemes(entry)) if phoneme]
    without_pause = bool(spoken) and spoken[-1] - spoken[0] + 1 == len(spoken)
    return without_pause and _LEAST <= seconds(entry) <= _MOST


def _phonemes(entry: Entry) -> list[int]:
    """The phoneme of each speech token, 0 for silence."""
    return [label // PITCHES for label in entry["labels"]]


def save_voices(manifest: Path, weights: Path) -> dict[str, Entry]:
    """Saves the voices into the folder; the recording that each is of."""
    entries, synthesizer = read_entries(manifest), Synthesizer(weights)
    chosen = {speaker.name: choose(entries, speaker.name) for speaker in BASE}
    with bar("voices", len(chosen)) as advance:
        for name, entry in chosen.items():
            voice = synthesizer.voice(manifest.parent / entry["wav"], entry["text"])
            place, source = weights_voices(weights), Path(entry["wav"]).name
            save_voice(place, name, voice, synthesizer.config, overwrite=True, source=source)
            record_voices(weights)  # each at once: a file that is not the recorded one has the folder refused
            advance()
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True, help="what `speak` wrote")
    parser.add_argument("--weights", type=Path, required=True, help="the converted folder that the voices go into")
    args = parser.parse_args()
    for name, entry in save_voices(args.manifest, args.weights).items():
        print(f"{name:<6} {entry['key']}  {seconds(entry):.2f} s  {entry['text']}")


if __name__ == "__main__":
    run(main)
