"""`cosy-jax evaluate` as a stranger uses it."""

import json
import os
import signal

import numpy as np
import pytest
import soundfile

from cosy_jax.cli import main
from cosy_jax.evaluate import listen
from tests.compare.signals import RATE, voice
from tests.conftest import TINY
from tests.evaluate.graphs import write_maximum
from tests.reference import REPOSITORY

DATA = REPOSITORY / "tests" / "data"
TEXTS = {"a": "Good morning.", "b": "Good evening to you."}


class Parrot:
    """Hears the same in everything, and counts."""

    asked = 0

    def transcribe(self, samples, rate):
        Parrot.asked += 1
        return "good morning"


@pytest.fixture
def parrot(monkeypatch):
    monkeypatch.setattr(listen, "load_recogniser", lambda name: Parrot())
    monkeypatch.setattr(Parrot, "asked", 0)
    return Parrot


@pytest.fixture
def evaluate(tmp_path, parrot):
    """Judges recordings of `TEXTS` by stand-ins; further options as given."""
    lines = []
    for key, hertz in zip(TEXTS, (110, 220), strict=True):
        soundfile.write(tmp_path / f"{key}.wav", voice(hertz, 1.0), RATE)
        prompt = str(DATA / f"prompt_{len(lines)}.flac")
        lines.append({"key": key, "text": TEXTS[key], "prompt_wav": prompt, "speaker": f"speaker {key}"})
    (tmp_path / "set.jsonl").write_text("\n".join(map(json.dumps, lines)))
    model = write_maximum(tmp_path / "speaker.onnx")

    def command(*options):
        given = ["evaluate", "--set", str(tmp_path / "set.jsonl"), "--weights", str(TINY), "--judge-only"]
        out = ["--out", str(tmp_path / "out"), "--jobs", "1", "--speaker-model", str(model)]
        return main([*given, *out, *map(str, options)])

    return command


def results(tmp_path):
    return [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]


def test_recordings_that_are_there(evaluate, tmp_path, capsys):
    assert evaluate() == 0
    head, *rows = capsys.readouterr().out.splitlines()[:4]
    assert "WER %" in head and len(head) <= 80
    assert [row.split("  ")[0][:9].strip() for row in rows] == ["speaker a", "speaker b", "all"]
    assert rows[-1].split()[1:3] == ["2", "50.0"]
    first, second = results(tmp_path)
    assert first["heard"] == "good morning" and first["words"]["length"] == 2 and first["wav"] == "../a.wav"
    assert second["words"] == {"substitutions": 1, "deletions": 2, "insertions": 0, "length": 4}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["all"]["word_error_rate"] == 0.5 and summary["recogniser"] == "pocketsphinx"
    assert summary["all"]["f0_median_mean"] == pytest.approx(165, rel=0.02) and summary["speed"] is None
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.index("<h3>b</h3>") < page.index("<h3>a</h3>") and page.count("data:image/png;base64,") == 2


def test_what_is_judged_is_not_judged_again(evaluate, tmp_path, parrot):
    assert evaluate() == 0 and parrot.asked == 2
    before = results(tmp_path)
    assert evaluate() == 0 and parrot.asked == 2 and results(tmp_path) == before
    soundfile.write(tmp_path / "b.wav", voice(150, 1.0), RATE)
    assert evaluate() == 0 and parrot.asked == 3
    assert results(tmp_path)[0] == before[0] and results(tmp_path)[1]["f0_median"] < 160


def test_a_limit_for_ci(evaluate, capsys):
    assert evaluate("--max-wer", 0.5) == 0
    assert evaluate("--max-wer", 0.4) == 1
    assert "word error rate 0.5000, more than 0.4" in capsys.readouterr().err


def test_beside_somebody_elses(evaluate, tmp_path, parrot, capsys):
    teacher = tmp_path / "teacher"
    teacher.mkdir()
    for key in TEXTS:
        soundfile.write(teacher / f"{key}.flac", voice(110, 0.8), RATE)
    assert evaluate("--reference", teacher) == 0 and parrot.asked == 4
    reference = json.loads((tmp_path / "out" / "summary.json").read_text())["all"]["reference"]
    assert reference["duration_ratio"] == 1.25 and reference["f0_ratio"] == pytest.approx(1.5, abs=0.02)
    assert reference["word_error_rate"] == 0.5 and "ref %" in capsys.readouterr().out
    assert (tmp_path / "out" / "index.html").read_text().count("../teacher/a.flac") == 1


def test_a_recording_that_is_missing_is_its_own_error(evaluate, tmp_path, capsys):
    (tmp_path / "a.wav").unlink()
    assert evaluate() == 1
    assert "1 of 2 utterances have no figures" in capsys.readouterr().out
    assert results(tmp_path)[0]["error"].startswith("No recording at")


def test_recordings_in_another_folder(evaluate, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for key in TEXTS:
        (tmp_path / f"{key}.wav").rename(elsewhere / f"{key}.wav")
    given = ["evaluate", "--set", str(tmp_path / "set.jsonl"), "--out", str(tmp_path / "out"), "--jobs", "1"]
    model = ["--speaker-model", str(tmp_path / "speaker.onnx"), "--weights", str(TINY)]
    assert main([*given, *model, "--judge-only", str(elsewhere)]) == 0


def test_interrupted_it_shows_what_there_is(evaluate, tmp_path, parrot, monkeypatch, capsys):
    def interrupted(self, samples, rate):
        os.kill(os.getpid(), signal.SIGINT)
        return "good morning"

    with monkeypatch.context() as during:
        during.setattr(parrot, "transcribe", interrupted)
        assert evaluate() == 130
    assert "finishing what is being judged" in capsys.readouterr().err
    assert len(results(tmp_path)) == 1
    assert "1 of 2 utterances are judged so far." in (tmp_path / "out" / "index.html").read_text()
    assert evaluate() == 0 and parrot.asked == 1


BAD = {
    "no reference": (("--reference", "."), "has no recording of any key, such as a.wav"),
    "no processes": (("--jobs", 0), "--jobs cannot be 0: give 1 or more."),
    "no dnsmos": (("--dnsmos", "absent.onnx"), "There is no file absent.onnx"),
    "no set": (("--set", "absent.jsonl"), "Cannot read the set absent.jsonl"),
}


@pytest.mark.parametrize(("options", "sentence"), BAD.values(), ids=BAD)
def test_bad_input(evaluate, tmp_path, monkeypatch, capsys, options, sentence):
    monkeypatch.chdir(tmp_path.parent)
    assert evaluate(*options) == 2
    printed = capsys.readouterr().err
    assert sentence in printed and printed.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_spoken_and_judged(tmp_path, capsys):
    pytest.importorskip("pocketsphinx")
    prompts = [DATA / f"prompt_{index}.flac" for index in (0, 1)]
    lines = [f"u{index}|What it says.|{prompt}|Good morning." for index, prompt in enumerate(prompts)]
    (tmp_path / "meta.lst").write_text("\n".join(lines))
    out = tmp_path / "out"
    command = ["evaluate", "--set", str(tmp_path / "meta.lst"), "--weights", str(TINY), "--out", str(out)]
    assert main([*command, "--jobs", "1"]) == 0
    printed = capsys.readouterr()
    assert "real-time factor" in printed.out and "similarity by CAM++, the model's own conditioning" in printed.out
    first, second = results(tmp_path)
    assert first["wav"] == "speech/u0.wav" and -1 <= first["similarity"] <= 1
    assert second["nearest"] in map(str, prompts)
    samples, _ = soundfile.read(out / "speech" / "u1.wav")
    assert len(samples) and np.isfinite(samples).all()
    speed = json.loads((out / "summary.json").read_text())["speed"]
    assert main([*command, "--jobs", "1"]) == 0  # nothing is left to do
    assert json.loads((out / "summary.json").read_text())["speed"] == speed
