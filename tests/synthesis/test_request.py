"""One utterance to speak: every front end's rules, in one place."""

import numpy as np
import pytest

from cosy_jax.errors import CosyError
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.request import Request, StreamOptions
from cosy_jax.synthesis.voice import Voice
from cosy_jax.text.normalise import DEFAULT, FrontendOptions

PROMPT = Prompt(np.asarray([4, 5], np.int32), np.zeros((4, 80), np.float32), np.zeros(192, np.float32))
VOICE = Voice(PROMPT, "Some words.")
WHOLE = FrontendOptions(enabled=False)


def test_the_mode_follows_from_the_instruction():
    assert Request("Hello.", VOICE).way == "zero-shot"
    assert Request("Hello.", VOICE, instruct="Whisper.").way == "instruct"
    assert Request("Hello.", Voice(PROMPT), mode="cross-lingual").way == "cross-lingual"


@pytest.mark.parametrize(
    ("fields", "names", "message"),
    [
        ({"text": " ", "voice": VOICE}, ("text",), "empty"),
        ({"text": "?!", "voice": VOICE}, ("text",), "no letter or digit"),
        ({"text": iter(["Hello."]), "voice": VOICE, "frontend": WHOLE}, ("frontend",), "neither normalised nor split"),
        ({}, ("recording", "voice"), "in which voice"),
        ({"voice": "ann", "recording": "ann.wav"}, ("recording", "voice"), "in which voice"),
        ({"voice": "ann", "transcript": "Words."}, ("transcript",), "brings its transcript"),
        ({"voice": VOICE, "transcript": "Words."}, ("transcript",), "brings its transcript"),
        ({"recording": "ann.wav"}, ("transcript",), "needs what is said"),
        ({"voice": Voice(PROMPT)}, ("voice",), "no transcript"),
        ({"voice": VOICE, "mode": "shout"}, ("mode",), "Unknown mode"),
        ({"voice": VOICE, "mode": "zero-shot", "instruct": "Whisper."}, ("instruct",), "give both or neither"),
        ({"voice": VOICE, "instruct": ""}, ("instruct",), "give both or neither"),
        ({"voice": VOICE, "seed": 2**63}, ("seed",), "too large"),
        ({"voice": VOICE, "seed": -(2**62) - 1}, ("seed",), "too large"),
        ({"voice": VOICE, "seed": 10**5000}, ("seed",), "too large"),
        ({"voice": VOICE, "seed": 1.5}, ("seed",), "no whole number"),
        ({"voice": VOICE, "seed": "1"}, ("seed",), "no whole number"),
        ({"voice": VOICE, "speed": 3.0}, ("speed",), "not supported"),
    ],
)
def test_what_cannot_be_spoken_names_its_fields(fields, names, message):
    with pytest.raises(CosyError, match=message) as caught:
        Request(**{"text": "Hello.", **fields})
    assert caught.value.fields == names


def test_front_ends_put_their_own_names_in_front():
    error = CosyError("Say in which voice.", "recording", "voice")
    assert error.naming("--{}".format) == "--recording or --voice: Say in which voice."
    assert CosyError("The disk is full.").naming(str.upper) == "The disk is full."


def test_a_request_is_a_value():
    requests = [Request("Hello.", "ann", seed=1), Request("Hello.", "ann", seed=1), Request("Hello.", "ann", seed=2)]
    assert requests[0] == requests[1] != requests[2] and len(set(requests)) == 2
    with pytest.raises(AttributeError):
        requests[0].seed = 3


def test_a_voice_takes_the_place_of_its_name():
    request = Request("Hello.", recording="ann.wav", transcript="Some words.", seed=7)
    with pytest.raises(CosyError, match="resolve the request"):
        _ = request.voice_at_hand
    assert request.in_voice(VOICE) == Request("Hello.", VOICE, seed=7)
    assert request.in_voice(VOICE).voice_at_hand is VOICE


def test_a_text_is_whole_or_arrives():
    assert Request("Hello.", VOICE).whole_text == "Hello." and Request("Hello.", VOICE).normalisation is DEFAULT
    assert Request("Hello.", VOICE, frontend=WHOLE).normalisation is WHOLE
    with pytest.raises(CosyError, match="only be streamed"):
        _ = Request(iter(["Hello."]), VOICE).whole_text


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"solver": "best"}, "solver"),
        ({"left_chunks": 0}, "left_chunks"),
        ({"solver": "exact", "left_chunks": 3}, "left_chunks"),
    ],
)
def test_stream_options_that_do_not_fit(fields, name):
    with pytest.raises(CosyError) as caught:
        StreamOptions(**fields)
    assert caught.value.fields == (name,)
