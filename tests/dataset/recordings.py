"""Short recordings, and the ways in which they are named."""

import json

import numpy as np
import soundfile

from tests.reference import REPOSITORY

RECORDINGS = [REPOSITORY / "tests" / "data" / f"prompt_{number}.flac" for number in (0, 1)]
TEXT = "Good morning, how are you?"


def piece(path, start, stop, source=0, suffix=".wav"):
    """A stretch of one of the repository's recordings, in seconds, as a file."""
    samples, rate = soundfile.read(RECORDINGS[source])
    path = path.with_suffix(suffix)
    soundfile.write(path, samples[int(start * rate) : int(stop * rate)], rate)
    return path


def tone(path, seconds, rate=24000, level=0.3):
    """A tone that grows and fades."""
    time = np.arange(round(seconds * rate)) / rate
    soundfile.write(path, level * np.sin(2 * np.pi * 220 * time) * np.sin(np.pi * time / seconds), rate)
    return path


def line(key, wav=None, speaker="anna", text=TEXT, **fields):
    return {"key": key, "text": text, "wav": wav or f"{key}.wav", "speaker": speaker, **fields}


def manifest(folder, *lines):
    path = folder / "train.jsonl"
    path.write_text("".join((entry if isinstance(entry, str) else json.dumps(entry)) + "\n" for entry in lines))
    return path
