"""Speaks the texts: recordings, and the manifest of all of them for `cosy-jax dataset build`.

    python -m recipes.embedded_voice.speak --texts build/embedded_voice/texts.txt --out build/embedded_voice

What is there already is not spoken again.
"""

import argparse
import json
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from cosy_jax.errors import CosyError
from cosy_jax.files import whole_file, write_whole
from cosy_jax.text.check import SYSTEM_PREFIX

from .common import bar, run
from .flite import RATE, speak
from .labels import PHONEMES, PITCH_STEPS, PITCHES, TOKEN_SECONDS
from .speakers import BASE, ROUND, Speaker
from .templates import Deck, read_lines

MIN_SECONDS, MAX_SECONDS = 0.4, 12.0
# Opus of 21 kbit/s: five hours in some 45 MB, where FLAC takes 300.
_FORMATS: dict[str, dict[str, Any]] = {
    ".wav": {"format": "WAV", "subtype": "PCM_16"},
    ".flac": {"format": "FLAC", "subtype": "PCM_16"},
    ".opus": {"format": "OGG", "subtype": "OPUS", "compression_level": 0.95},
}
_CHUNK = 8  # utterances that a process is given at a time


@dataclass(frozen=True)
class Task:
    """An utterance to speak."""

    key: str
    text: str
    speaker: Speaker


def plan(texts: list[str], phrases: int, seed: int) -> list[Task]:
    """Who says what: the first `phrases` texts by each of the four voices, each other by one speaker."""
    deck = Deck(ROUND, f"{seed} speakers")
    tasks = []
    for index, text in enumerate(texts):
        speakers = BASE if index < phrases else (deck.deal(),)
        tasks += [Task(f"{index:05d}_{speaker.name}", text, speaker) for speaker in speakers]
    return tasks


def record(task: Task, out: Path, suffix: str) -> dict[str, Any]:
    """Speaks an utterance, unless it is there; its line of the manifest."""
    noted = out / "utterances" / f"{task.key}.json"
    audio = out / "audio" / f"{task.key}{suffix}"
    entry: dict[str, Any] = {
        "key": task.key,
        "text": task.text,
        "wav": f"audio/{audio.name}",
        "speaker": task.speaker.name,
        "instruct": SYSTEM_PREFIX,
    }
    if noted.is_file() and audio.is_file():
        found = json.loads(noted.read_text(encoding="utf-8"))
        if entry.items() <= found.items():
            return found
    spoken = speak(task.text, task.speaker)
    write_recording(audio, spoken.samples)
    entry["labels"] = spoken.labels.tolist()
    entry["segments"] = [[phoneme, round(end, 4)] for phoneme, end in spoken.segments]
    write_whole(noted, json.dumps(entry).encode())
    return entry


def write_recording(path: Path, samples: np.ndarray) -> None:
    """Samples float32 (S,) at 16 kHz as the suffix says; CosyError for a failed write."""
    with whole_file(path) as file:
        soundfile.write(file, samples, RATE, **_FORMATS[path.suffix])


def record_all(
    tasks: list[Task], out: Path, suffix: str, advance: Callable[[], None] = lambda: None
) -> list[dict[str, Any]]:
    """The lines of all utterances of a fit length, in the tasks' order, spoken on all cores."""
    (out / "audio").mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    entries = []
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        for entry in pool.map(partial(record, out=out, suffix=suffix), tasks, chunksize=_CHUNK):
            advance()
            if MIN_SECONDS <= seconds(entry) <= MAX_SECONDS:
                entries.append(entry)
    return entries


def seconds(entry: dict[str, Any]) -> float:
    """How long an utterance is."""
    return len(entry["labels"]) * TOKEN_SECONDS


def write_manifest(entries: list[dict[str, Any]], out: Path) -> None:
    """manifest.jsonl, and phonemes.json, which says what its labels are."""
    lines = [{name: value for name, value in entry.items() if name != "segments"} for entry in entries]
    write_whole(out / "manifest.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines).encode())
    classes = {
        "phonemes": PHONEMES,
        "pitches": PITCHES,
        "pitch_steps": PITCH_STEPS,
        "label": "phoneme * pitches + pitch; pitch 0 is unvoiced, the others are parted by semitones from the median",
    }
    write_whole(out / "phonemes.json", f"{json.dumps(classes, indent=1)}\n".encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path, required=True, help="what `texts` wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder of audio/, manifest.jsonl and phonemes.json")
    parser.add_argument("--suffix", default=".opus", choices=tuple(_FORMATS), help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if not args.texts.is_file():
        raise CosyError(f"There are no texts at {args.texts}: write them with recipes.embedded_voice.texts.")
    tasks = plan(args.texts.read_text(encoding="utf-8").splitlines(), len(read_lines("phrases.txt")), args.seed)
    with bar("speech", len(tasks)) as advance:
        entries = record_all(tasks, args.out, args.suffix, advance)
    write_manifest(entries, args.out)
    hours = sum(map(seconds, entries)) / 3600
    print(f"{args.out}: {len(entries)} utterances, {hours:.2f} hours, {len(tasks) - len(entries)} of unfit length")


if __name__ == "__main__":
    run(main)
