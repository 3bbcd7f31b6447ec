"""Parts become lines."""

import itertools

import numpy as np
import pytest

from cosy_jax.audio.join import join_audio
from cosy_jax.batch.collect import Assembly
from cosy_jax.batch.messages import Failed, FailedPart, Part, Spoken
from tests.batch.test_messages import audio_part, utterance

RATE = 24000


def failed_part(whole, index=0, error="No speech."):
    return FailedPart(Part(whole, index, context=None), error)


def add_all(parts):
    """What an Assembly gives for each part."""
    assembly = Assembly(RATE)
    return [assembly.add(part) for part in parts]


def test_one_part_is_its_line():
    whole, samples = utterance(), np.linspace(-0.5, 0.5, 2400, dtype=np.float32)
    (spoken,) = add_all([audio_part(whole, tokens=5, samples=samples, fallbacks=7)])
    assert isinstance(spoken, Spoken) and spoken.outcome.line is whole.line and not spoken.outcome.error
    np.testing.assert_array_equal(spoken.audio, samples)
    assert spoken.outcome.seconds == 0.1
    assert (spoken.outcome.tokens, spoken.outcome.text_tokens, spoken.outcome.fallbacks) == (5, 4, 7)
    assert list(spoken.outcome.stages.items()) == [
        ("prompt", 0.5), ("language model", 1.0), ("flow", 2.0), ("vocoder", 3.0),
    ]  # fmt: skip


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_parts_in_any_order_are_joined_in_their_own(order):
    whole = utterance(parts=3, seconds=0.25)
    sounds = [np.full(1000 * (index + 1), 0.1 * (index + 1), np.float32) for index in range(3)]
    parts = [
        audio_part(whole, index, tokens=10 + index, samples=sounds[index], fallbacks=index, seconds=(1 + index, 2, 3))
        for index in range(3)
    ]
    *early, spoken = add_all(parts[index] for index in order)
    assert early == [None, None] and isinstance(spoken, Spoken)
    np.testing.assert_array_equal(spoken.audio, join_audio(sounds, RATE))
    assert spoken.outcome.seconds == 6000 / RATE
    assert (spoken.outcome.tokens, spoken.outcome.text_tokens, spoken.outcome.fallbacks) == (33, 4, 3)
    assert spoken.outcome.stages == {"prompt": 0.25, "language model": 6, "flow": 6, "vocoder": 9}


@pytest.mark.parametrize("position", range(3))
def test_a_part_that_failed_fails_its_line_once_all_have_come(position):
    whole = utterance(parts=3)
    parts = [audio_part(whole, 0), audio_part(whole, 1)]
    parts.insert(position, failed_part(whole, 2))
    *early, failed = add_all(parts)
    assert early == [None, None] and isinstance(failed, Failed)
    assert failed.outcome.line is whole.line and failed.outcome.error == "No speech."


def test_the_first_failure_is_the_reason():
    whole = utterance(parts=3)
    parts = [failed_part(whole, 2, "Too long."), audio_part(whole, 0), failed_part(whole, 1, "Too short.")]
    assert add_all(parts)[-1].outcome.error == "Too long."


def test_lines_do_not_mix():
    first, second = utterance("a", parts=2), utterance("b", parts=2)
    parts = [
        audio_part(first, 1, tokens=3), audio_part(second, 0, tokens=20), failed_part(second, 1),
        audio_part(first, 0, tokens=4),
    ]  # fmt: skip
    nothing, also_nothing, failed, spoken = add_all(parts)
    assert nothing is None and also_nothing is None
    assert isinstance(failed, Failed) and failed.outcome.line.key == "b"
    assert isinstance(spoken, Spoken) and (spoken.outcome.line.key, spoken.outcome.tokens) == ("a", 7)
