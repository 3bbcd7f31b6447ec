"""What passes between the threads of a batch run cannot be changed."""

import dataclasses
import inspect
import typing

import numpy as np
import pytest

from cosy_jax.batch import messages
from cosy_jax.batch.entries import Outcome
from cosy_jax.batch.manifest import Line
from cosy_jax.batch.messages import AudioPart, DecodedPart, FailedPart, MelPart, Part, Spoken, Utterance
from cosy_jax.synthesis.request import Request

CLASSES = [each for _, each in inspect.getmembers(messages, inspect.isclass) if each.__module__ == messages.__name__]


def line(key="a", number=1):
    return Line(number, key, Request("Hi.", voice="ann"), f"{key}.wav")


def utterance(key="a", parts=1, text_tokens=4, seconds=0.5):
    return Utterance(line(key), voice=None, parts=parts, text_tokens=text_tokens, seconds=seconds)


def audio_part(whole, index=0, tokens=2, samples=None, fallbacks=0, seconds=(1.0, 2.0, 3.0)):
    """A part of an utterance that has gone through all stages, 480 samples a token; silent unless told otherwise."""
    in_language_model, in_flow, in_vocoder = seconds
    part = Part(whole, index, context=None)
    decoded = DecodedPart(part, np.arange(tokens, dtype=np.int32), fallbacks, in_language_model)
    mel = MelPart(decoded, np.zeros((2 * tokens, 80), np.float32), in_flow)
    return AudioPart(mel, np.zeros(960 * tokens, np.float32) if samples is None else samples, in_vocoder)


def test_the_module_has_messages():
    assert {Utterance, Part, DecodedPart, MelPart, AudioPart, FailedPart, Spoken, messages.Failed} == set(CLASSES)


@pytest.mark.parametrize("message", CLASSES)
def test_no_field_can_be_set_and_none_is_a_container_or_a_choice(message):
    assert dataclasses.is_dataclass(message) and message.__dataclass_params__.frozen
    for name, kind in typing.get_type_hints(message).items():
        assert inspect.isclass(kind) and not issubclass(kind, (list, dict, set, bytearray)), (name, kind)


def test_no_array_can_be_written():
    part = audio_part(utterance())
    spoken = Spoken(Outcome(line()), np.zeros(3, np.float32))
    for array in (part.source.decoded.tokens, part.source.mel, part.audio, spoken.audio):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 1


def test_a_part_knows_where_it_came_from():
    whole = utterance()
    part = audio_part(whole, index=3)
    assert part.part is part.source.part is part.source.decoded.part
    assert part.part.utterance is whole and part.part.index == 3
