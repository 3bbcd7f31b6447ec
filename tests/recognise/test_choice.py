"""Recognisers by their names; the large ones by stand-ins of their packages."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from cosy_jax.errors import CosyError
from cosy_jax.recognise.choice import identity, load_recogniser
from cosy_jax.recognise.recogniser import Recogniser

SECOND = np.zeros(24000, np.float32)


class WhisperModel:
    """As faster_whisper's."""

    def __init__(self, folder):
        if folder.endswith("broken"):
            raise RuntimeError("no model.bin")

    def transcribe(self, samples, beam_size):
        assert samples.dtype == np.float32 and beam_size == 5
        return iter([SimpleNamespace(text=" Good morning,"), SimpleNamespace(text=f" {len(samples)}.")]), None


def pipeline(task, model):
    """As transformers'."""
    if model.endswith("broken"):
        raise OSError("no config.json")
    return lambda given: {"text": f" {task} {len(given['raw'])} {given['sampling_rate']}"}


@pytest.fixture
def packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", SimpleNamespace(WhisperModel=WhisperModel))
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(pipeline=pipeline))


HEARD = {"faster-whisper": "Good morning, 16000.", "transformers": "automatic-speech-recognition 16000 16000"}


@pytest.mark.parametrize("kind", HEARD)
def test_large_ones(tmp_path, packages, kind):
    recogniser = load_recogniser(f"{kind}:{tmp_path}")
    assert isinstance(recogniser, Recogniser)
    assert recogniser.transcribe(SECOND, 24000) == HEARD[kind]
    assert recogniser.transcribe(SECOND[:0], 24000) == ""


@pytest.mark.parametrize("kind", HEARD)
def test_a_folder_without_a_model(tmp_path, packages, kind):
    (tmp_path / "broken").mkdir()
    with pytest.raises(CosyError, match=f"Cannot load .*broken with {kind}"):
        load_recogniser(f"{kind}:{tmp_path}/broken")


@pytest.mark.parametrize("kind", HEARD)
def test_what_is_not_installed(tmp_path, monkeypatch, kind):
    monkeypatch.setitem(sys.modules, kind.replace("-", "_"), None)
    with pytest.raises(CosyError, match=f"The recogniser {kind} is missing: pip install"):
        load_recogniser(f"{kind}:{tmp_path}")


def test_nothing_is_downloaded(tmp_path, packages):
    with pytest.raises(CosyError, match="folder openai/whisper-tiny does not exist: give the path"):
        load_recogniser("transformers:openai/whisper-tiny")


@pytest.mark.parametrize("name", ["whisper", "faster-whisper", "transformers:", "", "pocketsphinx:"])
def test_unknown_names(name):
    with pytest.raises(CosyError, match=f"There is no recogniser '{name}': choose pocketsphinx, faster-whisper:PATH"):
        load_recogniser(name)


def test_models_are_told_apart_by_their_files(tmp_path):
    name = f"transformers:{tmp_path}"
    before = identity(name)
    (tmp_path / "model.bin").write_bytes(b"1")
    assert identity(name) != before
    assert identity("pocketsphinx")[0] == "pocketsphinx"
