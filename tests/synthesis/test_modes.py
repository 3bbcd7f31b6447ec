"""What each mode puts in front of the text."""

import numpy as np
import pytest

from cosy_jax.errors import CosyError
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.modes import lm_context
from cosy_jax.synthesis.request import Request
from cosy_jax.synthesis.voice import Voice

PROMPT = Prompt(np.asarray([4, 5], np.int32), np.zeros((4, 80), np.float32), np.zeros(192, np.float32))
VOICE = Voice(PROMPT, "Some words.")


def test_contexts():
    text, tokens = lm_context("zero-shot", VOICE)
    assert text == "You are a helpful assistant.<|endofprompt|>Some words." and tokens.tolist() == [4, 5]
    text, tokens = lm_context("cross-lingual", Voice(PROMPT))
    assert text == "You are a helpful assistant.<|endofprompt|>" and not len(tokens)
    text, tokens = lm_context("instruct", VOICE, "Speak in Cantonese.")
    assert text == "You are a helpful assistant. Speak in Cantonese.<|endofprompt|>" and not len(tokens)


@pytest.mark.parametrize(
    ("mode", "voice", "instruct", "message"),
    [
        ("shout", VOICE, "", "Unknown mode"),
        ("zero-shot", Voice(PROMPT), "", "needs what is said"),
        ("zero-shot", VOICE, "Whisper.", "mode instruct"),
        ("instruct", VOICE, " ", "needs one"),
        ("instruct", VOICE, "Loud.<|endofprompt|>", "leave it out"),
    ],
)
def test_mode_without_what_it_needs(mode, voice, instruct, message):
    with pytest.raises(CosyError, match=message):
        lm_context(mode, voice, instruct)


@pytest.mark.slow
def test_modes_speak_differently(synthesizer):
    speeches = [
        synthesizer.speak(Request("Good morning.", VOICE, mode=mode, instruct=instruct))
        for mode, instruct in ((None, None), ("cross-lingual", None), (None, "Speak slowly."))
    ]
    assert len({speech.tokens.tobytes() for speech in speeches}) == 3
    assert all(len(speech.audio) == 960 * len(speech.tokens) for speech in speeches)


@pytest.mark.slow
def test_cross_lingual_text_keeps_its_own_prefix(synthesizer):
    own = "You are a helpful assistant.<|endofprompt|>Good morning."
    assert lm_context("cross-lingual", VOICE, text=own)[0] == ""
    speeches = [synthesizer.speak(Request(text, VOICE, mode="cross-lingual")) for text in ("Good morning.", own)]
    np.testing.assert_array_equal(speeches[0].tokens, speeches[1].tokens)
