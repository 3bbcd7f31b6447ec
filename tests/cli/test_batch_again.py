"""A second `cosy-jax batch` over a folder: what has changed since is spoken again, and nothing else."""

import json
import shutil

import numpy as np
import pytest

from cosy_jax.cli import main
from cosy_jax.config import ModelConfig
from cosy_jax.conversions.output import file_record
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.voice import Voice
from cosy_jax.synthesis.voices import save_voice
from tests.cli.test_batch_options import arguments, pipeline, pretend, spoken  # noqa: F401
from tests.conftest import TINY

RECORDED = {"key": "a", "text": "Good morning.", "prompt_wav": "voice.wav", "prompt_text": "Some words."}
SAVED = {"key": "b", "text": "Good evening.", "voice": "ann"}


@pytest.fixture
def folder(tmp_path):
    """A manifest of two lines, spoken: one in a recorded voice, one in a saved one."""
    (tmp_path / "voice.wav").write_bytes(b"a voice")
    keep_voice(tmp_path, 1)
    shutil.copytree(TINY, tmp_path / "weights")
    assert run(tmp_path) == 0
    return tmp_path


def keep_voice(folder, token):
    prompt = Prompt(np.full(25, token, np.int32), np.zeros((50, 80), np.float32), np.zeros(192, np.float32))
    save_voice(folder / "voices", "ann", Voice(prompt, "Some words."), ModelConfig(), overwrite=True)


def run(folder, *options, lines=(RECORDED, SAVED)):
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return main(arguments(folder, "--weights", folder / "weights", "--voices", folder / "voices", *options))


def entries(folder):
    return [json.loads(line) for line in (folder / "out/results.jsonl").read_text().splitlines()]


def counted(capsys):
    """What the summary says of lines, and of those that were taken up again."""
    rows = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.strip()]
    found = dict(row for row in rows if len(row) == 2)
    return found["lines"].strip(), found.get("again", "").strip()


def test_nothing_has_changed(folder, capsys):
    capsys.readouterr()
    assert run(folder) == 0
    assert counted(capsys) == ("0 spoken, 0 failed, 2 spoken earlier", "")
    assert len(entries(folder)) == 2


CHANGES = {
    "text": "its text, mode, seed or speed changed",
    "seed": "its text, mode, seed or speed changed",
    "speed": "its text, mode, seed or speed changed",
    "mode": "its text, mode, seed or speed changed",
    "prompt_text": "its voice changed",
    "wav": "its wav has another name",
}
VALUES = {
    "text": "Good night.",
    "seed": 1,
    "speed": 1.5,
    "mode": "cross-lingual",
    "prompt_text": "Other words.",
    "wav": "sub/c.wav",
}


@pytest.mark.parametrize("field", CHANGES)
def test_a_line_that_has_changed_is_spoken_again(folder, capsys, field):
    capsys.readouterr()
    changed = [RECORDED | {field: VALUES[field]}, SAVED]
    assert run(folder, lines=changed) == 0
    assert counted(capsys) == ("1 spoken, 0 failed, 1 spoken earlier", f"1 because {CHANGES[field]}")
    latest = entries(folder)[-1]
    assert latest["key"] == "a" and (folder / "out" / latest["wav"]).is_file()
    assert run(folder, lines=changed) == 0
    assert counted(capsys) == ("0 spoken, 0 failed, 2 spoken earlier", "")
    assert run(folder) == 0  # and back
    assert counted(capsys)[0] == "1 spoken, 0 failed, 1 spoken earlier"


def test_a_wav_that_is_gone_is_spoken_again(folder, capsys):
    capsys.readouterr()
    (folder / "out/a.wav").unlink()
    assert run(folder) == 0
    assert counted(capsys) == ("1 spoken, 0 failed, 1 spoken earlier", "1 because its wav is gone")
    assert spoken(folder) == ["a", "b"]


def test_a_voice_that_has_changed(folder, capsys):
    capsys.readouterr()
    (folder / "voice.wav").write_bytes(b"another")
    assert run(folder) == 0
    assert entries(folder)[-1]["key"] == "a"
    assert counted(capsys) == ("1 spoken, 0 failed, 1 spoken earlier", "1 because its voice changed")
    keep_voice(folder, 2)
    assert run(folder) == 0
    assert entries(folder)[-1]["key"] == "b"
    assert counted(capsys) == ("1 spoken, 0 failed, 1 spoken earlier", "1 because its voice changed")
    (folder / "voice.wav").rename(folder / "other.wav")  # the same recording elsewhere is the same voice
    assert run(folder, lines=[RECORDED | {"prompt_wav": "other.wav"}, SAVED]) == 0
    assert counted(capsys) == ("0 spoken, 0 failed, 2 spoken earlier", "")


@pytest.mark.parametrize("stage", ["llm", "flow", "vocoder"])
def test_weights_that_have_changed(folder, capsys, stage):
    capsys.readouterr()
    path = folder / "weights/config.json"
    config = json.loads(path.read_text())
    config["files"][f"{stage}.safetensors"]["sha256"] = "0" * 64
    path.write_text(json.dumps(config))
    before = entries(folder)
    assert run(folder) == 0
    assert counted(capsys) == ("2 spoken, 0 failed, 0 spoken earlier", "2 because the weights changed")
    after = entries(folder)
    assert before[0]["digests"]["weights"] != after[-1]["digests"]["weights"]


def test_another_tokenizer_and_other_settings_are_other_weights(folder, capsys):
    capsys.readouterr()
    tokenizer, path = folder / "weights/tokenizer/tokenizer_config.json", folder / "weights/config.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    config = json.loads(path.read_text())
    config["files"]["tokenizer/tokenizer_config.json"] = file_record(tokenizer)
    path.write_text(json.dumps(config))
    assert run(folder) == 0
    assert counted(capsys)[1] == "2 because the weights changed"
    config["model"]["sampling"]["top_k"] = 10
    path.write_text(json.dumps(config))
    assert run(folder) == 0
    assert counted(capsys)[1] == "2 because the weights changed"


def test_other_encoders_are_another_voice_of_a_recording(folder, capsys):
    capsys.readouterr()
    path = folder / "weights/config.json"
    config = json.loads(path.read_text())
    config["files"]["speaker_encoder.safetensors"]["sha256"] = "0" * 64
    path.write_text(json.dumps(config))
    assert run(folder) == 0
    assert counted(capsys) == ("1 spoken, 0 failed, 1 spoken earlier", "1 because its voice changed")


@pytest.mark.parametrize("options", [["--dtype", "bfloat16"], ["--verbatim"], ["--language", "other"]])
def test_other_options(folder, capsys, options):
    capsys.readouterr()
    assert run(folder, *options) == 0
    assert counted(capsys) == ("2 spoken, 0 failed, 0 spoken earlier", "2 because the options changed")


def test_force_speaks_all_again(folder, capsys):
    capsys.readouterr()
    before = {key: (folder / f"out/{key}.wav").stat().st_mtime_ns for key in "ab"}
    assert run(folder, "--force") == 0
    assert counted(capsys) == ("2 spoken, 0 failed, 0 spoken earlier", "2 because it is forced")
    assert all((folder / f"out/{key}.wav").stat().st_mtime_ns > before[key] for key in "ab")


def test_the_results_file_says_what_was_spoken(folder):
    assert run(folder, lines=[RECORDED | {"seed": 7, "text": "Good night."}, SAVED]) == 0
    latest = entries(folder)[-1]
    assert (latest["text"], latest["seed"], latest["run"]) == ("Good night.", 7, 2)
    assert latest["digests"].keys() == {"line", "voice", "weights", "options", "audio"}
    assert latest["digests"]["weights"] == entries(folder)[0]["digests"]["weights"]


def test_entries_of_earlier_versions_are_taken_as_they_are(folder, capsys):
    path = folder / "out/results.jsonl"
    old = [{name: entry[name] for name in ("key", "line", "wav", "seconds", "tokens")} for entry in entries(folder)]
    path.write_text("".join(json.dumps(entry) + "\n" for entry in old))
    capsys.readouterr()
    assert run(folder, lines=[RECORDED | {"seed": 7}, SAVED]) == 0
    printed = capsys.readouterr().out
    assert "0 spoken, 0 failed, 2 spoken earlier" in printed
    assert "2 spoken by a version that did not record what from" in printed and "--force" in printed
    (folder / "out/b.wav").unlink()
    assert run(folder) == 0
    assert counted(capsys) == ("1 spoken, 0 failed, 1 spoken earlier", "1 because its wav is gone")


def test_a_file_that_another_line_was_spoken_into_is_gone(folder, capsys):
    """The name of a wav says nothing about what is in it."""
    assert run(folder, lines=[SAVED | {"key": "c", "wav": "a.wav"}]) == 0
    capsys.readouterr()
    assert run(folder) == 0
    assert counted(capsys) == ("1 spoken, 0 failed, 1 spoken earlier", "1 because its wav is gone")


def test_the_latest_entry_counts_in_whichever_file_it_stands(folder, capsys):
    changed = [RECORDED | {"seed": 7}, SAVED]
    for index in range(2):
        assert run(folder, "--num-shards", 2, "--shard-index", index, lines=changed) == 0
    capsys.readouterr()
    assert run(folder) == 0  # results.jsonl holds an entry of this line, but the file is that of the other run
    assert counted(capsys)[0] == "1 spoken, 0 failed, 1 spoken earlier"
    assert run(folder, lines=[RECORDED, SAVED]) == 0
    assert counted(capsys)[0] == "0 spoken, 0 failed, 2 spoken earlier"
