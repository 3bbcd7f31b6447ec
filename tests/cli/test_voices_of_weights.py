"""Voices that weights bring, by name on the command line."""

import json

import pytest

from cosy_jax.cli import main
from cosy_jax.config import ModelConfig
from cosy_jax.synthesis.voices import save_voice
from tests.saved import bringing, made_up


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A model with the voice slt, and nobody's own voices."""
    monkeypatch.setenv("COSY_JAX_VOICES", str(tmp_path / "own"))
    return bringing(tmp_path / "model", slt=made_up("What slt says."))


def test_list_and_show_look_where_speaking_looks(weights, tmp_path, monkeypatch, capsys):
    assert main(["voice", "list", "--weights", str(weights)]) == 0
    assert "What slt says." in capsys.readouterr().out
    monkeypatch.setenv("COSY_JAX_WEIGHTS", str(weights))
    assert main(["voice", "show", "slt"]) == 0
    printed = capsys.readouterr()
    assert str(weights / "voices") in printed.out.replace("\n", "") and not printed.err
    save_voice(tmp_path / "own", "slt", made_up("My own."), ModelConfig())
    assert main(["voice", "list"]) == 0
    printed = capsys.readouterr().out
    assert "My own." in printed and "What slt says." not in printed


def test_only_the_users_own_are_removed(weights, capsys):
    assert main(["voice", "remove", "slt"]) == 2
    assert "No voice 'slt'" in capsys.readouterr().err
    assert (weights / "voices" / "slt.safetensors").is_file()


def test_an_unknown_name_is_told_those_there_are(weights, tmp_path, capsys):
    options = ["--text", "Hello.", "--voice", "bob", "--out", str(tmp_path / "a.wav")]
    assert main(["synthesize", "--weights", str(weights), *options]) == 2
    assert "there are slt" in capsys.readouterr().err


@pytest.mark.slow
def test_spoken_by_name_alone_and_in_a_batch(weights, tmp_path):
    options = ["--weights", str(weights), "--voice", "slt"]
    assert main(["synthesize", *options, "--text", "Hello.", "--out", str(tmp_path / "a.wav")]) == 0
    assert (tmp_path / "a.wav").is_file()
    (tmp_path / "lines.jsonl").write_text(json.dumps({"key": "b", "text": "Hello.", "voice": "slt"}))
    assert main(["batch", str(tmp_path / "lines.jsonl"), "--weights", str(weights), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "b.wav").is_file()
