"""Who says what, and flite itself where it is installed."""

import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from cosy_jax.audio.read import load_audio
from cosy_jax.errors import CosyError
from recipes.embedded_voice import flite, speak
from recipes.embedded_voice.labels import PHONEMES, PITCHES
from recipes.embedded_voice.speakers import BASE, ROUND, VARIANTS
from recipes.embedded_voice.templates import read_lines

needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")


def test_the_four_voices_say_most_and_every_phrase():
    tasks = speak.plan([f"text {index}" for index in range(10 + 2 * len(ROUND))], phrases=10, seed=0)
    assert len({task.key for task in tasks}) == len(tasks) == 40 + 2 * len(ROUND)
    said = Counter(task.speaker for task in tasks[40:])
    assert [said[speaker] for speaker in BASE] == [18] * 4 and 72 / said.total() == 0.6
    assert all(said[speaker] == 4 for speaker in VARIANTS)
    assert [task.speaker for task in tasks[:4]] == list(BASE)


def test_missing_flite_is_told(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CosyError, match="apt-get install flite"):
        flite.speak("Hello.", BASE[0])


@needs_flite
def test_manifest_is_what_a_dataset_is_built_from(tmp_path):
    """And a second run speaks nothing again."""
    tasks = speak.plan(["Good morning.", "Is it nine o'clock?"], phrases=1, seed=0)
    entries = [
        speak.record(task, tmp_path, ".flac") for task in tasks if (tmp_path / "audio").mkdir(exist_ok=True) is None
    ]
    speak.write_manifest(entries, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    for line in lines:
        samples, rate = load_audio(tmp_path / line["wav"])
        assert len(samples) == len(line["labels"]) * rate // 25
        spoken = [PHONEMES[label // PITCHES] for label in line["labels"]]
        assert spoken[0] == spoken[-1] == "pau" and len(set(spoken)) > 5
    before = [path.stat().st_mtime_ns for path in sorted((tmp_path / "audio").iterdir())]
    assert [speak.record(task, tmp_path, ".flac") for task in tasks] == entries
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "audio").iterdir())] == before
    changed = speak.record(replace(tasks[0], text="Good evening."), tmp_path, ".flac")
    assert changed["labels"] != entries[0]["labels"]
    assert soundfile.info(tmp_path / changed["wav"]).samplerate == flite.RATE


@needs_flite
def test_a_variant_is_higher_and_as_long_as_its_pace_says():
    voice, higher = (next(s for s in (*BASE, *VARIANTS) if s.name == name) for name in ("slt", "slt_110"))
    plain, moved = (flite.speak("We had lunch in the garden.", speaker) for speaker in (voice, higher))
    assert len(moved.samples) == pytest.approx(len(plain.samples), rel=0.1)
    medians = [np.median(f0[f0 > 0]) for f0 in (flite._f0(plain.samples), flite._f0(moved.samples))]
    assert medians[1] / medians[0] == pytest.approx(1.1, abs=0.03)
    assert medians[0] == pytest.approx(voice.median_f0, rel=0.1)


@needs_flite
def test_a_few_phrases_hold_nearly_every_phoneme():
    phrases = read_lines("phrases.txt")[::6]
    heard = set()
    for first in range(0, len(phrases), 10):
        text = " ".join(phrases[first : first + 10])
        heard |= {phoneme for phoneme, _ in flite._synthesise(text, BASE[3])[1]}
    assert heard >= set(PHONEMES) - {"oy", "zh"}
