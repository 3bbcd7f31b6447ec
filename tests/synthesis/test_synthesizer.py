"""Speaking whole and in a stream, on the tiny model."""

import itertools
import weakref

import numpy as np
import pytest

from cosy_jax.errors import CosyError
from cosy_jax.synthesis.request import Request, StreamOptions
from cosy_jax.synthesis.stage import Stage
from cosy_jax.synthesis.voice import Voice
from tests.reference import REPOSITORY

TEXT = "Could you tell me how to get to the railway station from here?"
LONG = " ".join([TEXT] * 14)


@pytest.fixture(scope="module")
def voice(synthesizer) -> Voice:
    return synthesizer.voice(REPOSITORY / "tests/data/prompt_1.flac", "Some words.")


@pytest.mark.slow
def test_stream_speaks_the_same_tokens(synthesizer, voice):
    request = Request(TEXT, voice, seed=1)
    whole = synthesizer.speak(request)
    for options in (None, StreamOptions("exact"), StreamOptions(left_chunks=3)):
        pieces = list(synthesizer.stream(request, options))
        assert sum(len(piece) for piece in pieces) == len(whole.audio) == 960 * len(whole.tokens)
        assert np.abs(np.concatenate(pieces)).max() < 1


@pytest.mark.slow
def test_first_audio_comes_before_the_last_token(synthesizer, voice):
    stream = synthesizer.stream(Request(LONG, voice))
    first = next(stream)
    stream.close()
    assert 0 < len(first) < 3 * 24000


@pytest.mark.slow
def test_long_text_is_spoken_in_segments_without_clicks(synthesizer, voice):
    speech = synthesizer.speak(Request(LONG, voice))
    segments = synthesizer.contexts(Request(LONG, voice))
    assert len(segments) > 1 and len(speech.audio) == 960 * len(speech.tokens)
    streamed = np.concatenate(list(synthesizer.stream(Request(LONG, voice))))
    assert len(streamed) == len(speech.audio)
    jumps = np.abs(np.diff(speech.audio))
    ends = np.cumsum([960 * len(synthesizer.decode(segment, synthesizer.policy())[0]) for segment in segments])[:-1]
    assert max(jumps[end - 1] for end in ends) <= np.quantile(jumps, 0.5)
    assert max(abs(streamed[end] - streamed[end - 1]) for end in ends) <= np.quantile(np.abs(np.diff(streamed)), 0.5)


@pytest.mark.slow
def test_a_segment_is_there_before_the_next_one_is_made(synthesizer, voice):
    request, stages = Request(LONG, voice), []
    segments = synthesizer.speak_segments(request, stages.append)
    first = next(segments)
    assert stages == [Stage.PROMPT, Stage.LANGUAGE_MODEL, Stage.FLOW, Stage.VOCODER]
    others = list(segments)
    assert stages[4:] == [Stage.FLOW, Stage.VOCODER] * len(others) and others
    whole = synthesizer.speak(request)
    np.testing.assert_array_equal(whole.audio, np.concatenate([part.audio for part in (first, *others)]))
    assert list(first.seconds) == stages[:4] and all(list(part.seconds) == stages[2:4] for part in others)
    assert list(whole.seconds) == stages[:4]


@pytest.mark.slow
def test_a_segment_is_not_kept(synthesizer, voice):
    kept = []
    for segment in synthesizer.speak_segments(Request(LONG, voice)):
        assert not any(audio() is not None for audio in kept)
        kept.append(weakref.ref(segment.audio))
        del segment
    assert len(kept) > 1


@pytest.mark.slow
def test_text_arriving_in_pieces_is_spoken_while_it_arrives(synthesizer, voice):
    asked = []

    def words():
        for word in LONG.split():
            asked.append(word)
            yield word + " "

    stream = synthesizer.stream(Request(words(), voice))
    first = next(stream)
    assert len(first) and len(asked) < len(LONG.split())
    assert sum(len(piece) for piece in stream) > 0


@pytest.mark.slow
def test_error_of_the_text_comes_after_the_audio_so_far(synthesizer, voice):
    def words():
        yield from (word + " " for word in LONG.split()[:40])
        raise ConnectionError("gone")

    pieces = []
    with pytest.raises(ConnectionError, match="gone"):
        for piece in synthesizer.stream(Request(words(), voice)):
            pieces.append(piece)
    assert sum(len(piece) for piece in pieces) > 24000


@pytest.mark.slow
def test_two_streams_side_by_side(synthesizer, voice):
    requests = Request(TEXT, voice, seed=1), Request(TEXT, voice, seed=2)
    alone = [np.concatenate(list(synthesizer.stream(request))) for request in requests]
    streams = [synthesizer.stream(request) for request in requests]
    pieces = [[], []]
    for turn in itertools.zip_longest(*streams):
        for got, piece in zip(pieces, turn, strict=True):
            got += [] if piece is None else [piece]
    for got, wanted in zip(pieces, alone, strict=True):
        np.testing.assert_array_equal(np.concatenate(got), wanted)


def test_a_text_that_cannot_be_streamed_is_refused_at_the_call(synthesizer, voice, monkeypatch):
    """Before the first piece is asked for: a server has not answered yet."""

    def contexts(request):
        raise CosyError("Nothing of the text is left.")

    monkeypatch.setattr(synthesizer, "contexts", contexts)
    with pytest.raises(CosyError, match="Nothing"):
        synthesizer.stream(Request(TEXT, voice))


def test_what_a_stream_refuses(synthesizer, voice):
    with pytest.raises(CosyError, match="speed"):
        synthesizer.stream(Request(TEXT, voice, speed=1.5))
    with pytest.raises(CosyError, match="empty"):
        list(synthesizer.stream(Request(iter([]), voice)))
    with pytest.raises(CosyError, match="only be streamed"):
        synthesizer.speak(Request(iter([TEXT]), voice))
