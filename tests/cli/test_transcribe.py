"""--transcribe, with a recogniser that needs no extra."""

import sys

import pytest

from cosy_jax.cli import main
from cosy_jax.recognise import pocketsphinx
from tests.cli.test_synthesize import add_voice, arguments


@pytest.fixture
def hears(monkeypatch):
    """Sets what the recogniser hears; gives what it was asked."""
    asked = []

    class Heard:
        words = "those are the words"

        def transcribe(self, samples, rate):
            asked.append((samples, rate))
            return self.words

    monkeypatch.setattr(pocketsphinx, "PocketSphinx", Heard)
    return asked, Heard


@pytest.mark.slow
def test_voice_has_the_transcript_that_was_heard(hears, tmp_path, capsys):
    assert add_voice(tmp_path, "ann", "--transcribe") == 0
    assert "transcript: those are the words\n" in capsys.readouterr().out
    ((samples, rate),) = hears[0]
    assert samples.ndim == 1 and rate == 22050


@pytest.mark.slow
def test_words_that_were_heard_are_spoken_on(hears, tmp_path, capsys):
    words = arguments(tmp_path / "a.wav", **{"prompt-text": None})
    assert main([*words, "--transcribe"]) == 0
    assert "transcript: PocketSphinx heard 'those are the words'; if that" in capsys.readouterr().err
    assert main([*arguments(tmp_path / "b.wav", **{"prompt-text": "those are the words"})]) == 0
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_nothing_heard(hears, tmp_path, capsys):
    hears[1].words = " "
    assert add_voice(tmp_path, "ann", "--transcribe") == 2
    assert "--prompt-text: No word was recognised in the recording: give its transcript." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_options_that_do_not_fit(hears, tmp_path, capsys):
    assert main([*arguments(tmp_path / "a.wav"), "--transcribe"]) == 2
    assert "either given or found out: leave --prompt-text or --transcribe out." in capsys.readouterr().err
    words = arguments(tmp_path / "a.wav", voice="ann", **{"prompt-wav": None, "prompt-text": None})
    assert main([*words, "--transcribe"]) == 2
    assert "Only a recording can be transcribed: give --prompt-wav" in capsys.readouterr().err
    assert not hears[0] and not list(tmp_path.iterdir())


def test_without_the_extra_nothing_is_loaded(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    words = arguments(tmp_path / "a.wav", weights="/absent", **{"prompt-text": None})
    assert main([*words, "--transcribe"]) == 2
    assert "pip install 'cosy_jax[transcribe]'" in capsys.readouterr().err
