"""What `make demo` runs, with weights that bring voices and with weights that do not."""

import subprocess
import sys

import pytest

from recipes.embedded_voice import heard
from tests.reference import REPOSITORY


def demo(weights):
    command = ["make", "--dry-run", "demo", f"WEIGHTS={weights}"]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout


def test_two_voices_where_the_weights_bring_them(tmp_path):
    (tmp_path / "voices").mkdir()
    (tmp_path / "voices" / "slt.safetensors").touch()
    printed = demo(tmp_path)
    for voice in ("rms", "awb"):
        assert f"--voice {voice} " in printed and f"--out demo-{voice}.wav --plot demo-{voice}.png\n" in printed
    assert printed.index("--plot demo-awb.png") < printed.index("recipes.embedded_voice.heard")


def test_a_recording_where_they_bring_none(tmp_path):
    printed = demo(tmp_path)
    assert "--prompt-wav tests/data/prompt_0.flac" in printed and "--out demo.wav" in printed
    assert "heard" not in printed


def test_without_the_recogniser_the_rate_is_not_measured(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    monkeypatch.setattr("sys.argv", ["heard", "--text", "Hello.", "demo-slt.wav"])
    heard.main()
    assert "Word error rates are not measured." in capsys.readouterr().out


@pytest.mark.slow
def test_what_was_heard(monkeypatch, capsys):
    pytest.importorskip("pocketsphinx")
    path = str(REPOSITORY / "tests" / "data" / "prompt_1.flac")
    monkeypatch.setattr("sys.argv", ["heard", "--text", "Hello.", path])
    heard.main()
    assert capsys.readouterr().out.startswith(f"{path}: word error rate ")
