"""The recogniser that is an extra."""

import re
import sys

import numpy as np
import pytest

from cosy_jax.audio.read import load_audio
from cosy_jax.errors import CosyError
from cosy_jax.recognise.pocketsphinx import PocketSphinx
from cosy_jax.recognise.recogniser import Recogniser
from tests.reference import REPOSITORY


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(CosyError, match=r"needs PocketSphinx: pip install 'cosy_jax\[transcribe\]'\."):
        PocketSphinx()


@pytest.mark.slow
def test_words_of_a_recording_whatever_was_heard_before(capfd):
    pytest.importorskip("pocketsphinx")
    recogniser = PocketSphinx()
    assert isinstance(recogniser, Recogniser)
    samples, rate = load_audio(REPOSITORY / "tests" / "data" / "prompt_1.flac")
    words = recogniser.transcribe(samples, rate)
    assert re.fullmatch(r"[a-z']+( [a-z']+){4,20}", words)
    other = load_audio(REPOSITORY / "tests" / "data" / "prompt_0.flac")
    assert recogniser.transcribe(*other) != words
    assert recogniser.transcribe(np.zeros(0, np.float32), rate) == ""
    assert recogniser.transcribe(samples, rate) == words
    assert capfd.readouterr().err == ""
