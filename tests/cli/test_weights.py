"""Which weights a command uses: each source, in its order, and what is said of it."""

import os
from pathlib import Path

import pytest

from cosy_jax.cli import main, weights
from cosy_jax.cli.weights import find_weights
from cosy_jax.errors import CosyError
from tests.cli.test_synthesize import arguments
from tests.reference import REPOSITORY


@pytest.fixture(autouse=True)
def configuration(tmp_path, monkeypatch):
    """The place of the configuration file, in an empty home."""
    monkeypatch.delenv("COSY_JAX_WEIGHTS", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / ".config" / "cosy_jax" / "config.toml"
    path.parent.mkdir(parents=True)
    return path


def test_given_weights_are_taken_without_a_word(monkeypatch, capsys):
    monkeypatch.setenv("COSY_JAX_WEIGHTS", "/named")
    assert find_weights("given") == "given"
    assert not capsys.readouterr().err


def test_each_source_comes_before_the_next_and_is_named(configuration, monkeypatch, capsys):
    assert Path(find_weights(None)) == REPOSITORY / "weights" / "embedded"
    assert "the embedded model, which is small and speaks English" in capsys.readouterr().err
    configuration.write_text('weights = "/configured"')
    assert find_weights(None) == "/configured"
    assert capsys.readouterr().err == f"weights: /configured ({configuration})\n"
    monkeypatch.setenv("COSY_JAX_WEIGHTS", "/named")
    assert find_weights(None) == "/named"
    assert capsys.readouterr().err == "weights: /named (COSY_JAX_WEIGHTS)\n"


@pytest.mark.parametrize(("written", "found"), [("~/model", "model"), ("model", ".config/cosy_jax/model")])
def test_paths_of_the_file(written, found, configuration, tmp_path):
    configuration.write_text(f'weights = "{written}"')
    assert Path(find_weights(None)) == tmp_path / found


def test_xdg_config_home_is_respected(configuration, tmp_path, monkeypatch):
    configuration.write_text('weights = "/of-home"')
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")  # to be ignored, says the standard
    assert find_weights(None) == "/of-home"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "cosy_jax").mkdir()
    (tmp_path / "cosy_jax" / "config.toml").write_text('weights = "/of-xdg"')
    assert find_weights(None) == "/of-xdg"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"weights = ", "is not TOML"),
        (b"\xff", "is not TOML"),
        (b"weights = 3", 'is to hold weights = "DIR" and nothing else: correct it'),
        (b'weight = "/a"', "correct weight"),
    ],
)
def test_faulty_file_is_a_sentence(content, sentence, configuration):
    configuration.write_bytes(content)
    with pytest.raises(CosyError, match=sentence):
        find_weights(None)


def test_nobody_names_any(configuration, monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "_EMBEDDED", tmp_path / "absent")
    with pytest.raises(CosyError, match="Say which weights: give --weights DIR, set COSY_JAX_WEIGHTS, or write .*toml"):
        find_weights(None)


@pytest.mark.parametrize("command", ["synthesize", "batch", "convert-voice", "voice add", "tokens", "parity"])
def test_every_command_looks_there(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COSY_JAX_WEIGHTS", str(tmp_path / "absent"))
    words = {
        "synthesize": arguments(tmp_path / "a.wav", weights=None)[1:],
        "batch": ["tests/data/manifest.jsonl", "--out", str(tmp_path / "out")],
        "convert-voice": ["--source", "a.wav", "--prompt-wav", "b.wav", "--out", str(tmp_path / "a.wav")],
        "voice add": ["ann", "--prompt-wav", "a.wav", "--voices", str(tmp_path)],
        "tokens": ["--text", "Good morning.", "--prompt-wav", "a.wav", "--prompt-text", "Some words."],
        "parity": ["--dumps", str(tmp_path)],
    }[command]
    monkeypatch.chdir(REPOSITORY)
    assert main([*command.split(), *words, "--compile-cache", "off"]) == 2
    told = capsys.readouterr().err
    assert f"weights: {tmp_path}/absent (COSY_JAX_WEIGHTS)" in told and "is not a converted model" in told
    assert os.listdir(tmp_path) == [".config"]
