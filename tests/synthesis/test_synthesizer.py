"""Speaking whole and in a stream, on the embedded model."""

import itertools

import numpy as np
import pytest

from cosy_jax.errors import CosyError
from cosy_jax.synthesis.modes import Voice
from cosy_jax.synthesis.synthesizer import Options
from tests.reference import REPOSITORY

TEXT = "Could you tell me how to get to the railway station from here?"
LONG = " ".join([TEXT] * 14)


@pytest.fixture(scope="module")
def voice(synthesizer) -> Voice:
    return synthesizer.voice(REPOSITORY / "tests/data/prompt_1.flac", "Some words.")


def test_stream_speaks_the_same_tokens(synthesizer, voice):
    whole = synthesizer.speak(TEXT, voice, Options(seed=1))
    for options in (Options(seed=1), Options(seed=1, solver="exact"), Options(seed=1, left_chunks=3)):
        pieces = list(synthesizer.stream(TEXT, voice, options))
        assert sum(len(piece) for piece in pieces) == len(whole.audio) == 960 * len(whole.tokens)
        assert np.abs(np.concatenate(pieces)).max() < 1


def test_first_audio_comes_before_the_last_token(synthesizer, voice):
    stream = synthesizer.stream(LONG, voice)
    first = next(stream)
    stream.close()
    assert 0 < len(first) < 3 * 24000


def test_long_text_is_spoken_in_segments_without_clicks(synthesizer, voice):
    speech = synthesizer.speak(LONG, voice)
    segments = synthesizer.requests(LONG, voice, Options())
    assert len(segments) > 1 and len(speech.audio) == 960 * len(speech.tokens)
    streamed = np.concatenate(list(synthesizer.stream(LONG, voice)))
    assert len(streamed) == len(speech.audio)
    jumps = np.abs(np.diff(speech.audio))
    ends = np.cumsum([960 * len(synthesizer.decode(segment, Options())[0]) for segment in segments])[:-1]
    assert max(jumps[end - 1] for end in ends) <= np.quantile(jumps, 0.5)
    assert max(abs(streamed[end] - streamed[end - 1]) for end in ends) <= np.quantile(np.abs(np.diff(streamed)), 0.5)


def test_text_arriving_in_pieces_is_spoken_while_it_arrives(synthesizer, voice):
    asked = []

    def words():
        for word in LONG.split():
            asked.append(word)
            yield word + " "

    stream = synthesizer.stream(words(), voice)
    first = next(stream)
    assert len(first) and len(asked) < len(LONG.split())
    assert sum(len(piece) for piece in stream) > 0


def test_error_of_the_text_comes_after_the_audio_so_far(synthesizer, voice):
    def words():
        yield from (word + " " for word in LONG.split()[:40])
        raise ConnectionError("gone")

    pieces = []
    with pytest.raises(ConnectionError, match="gone"):
        for piece in synthesizer.stream(words(), voice):
            pieces.append(piece)
    assert sum(len(piece) for piece in pieces) > 24000


def test_two_streams_side_by_side(synthesizer, voice):
    options = Options(seed=1), Options(seed=2)
    alone = [np.concatenate(list(synthesizer.stream(TEXT, voice, choice))) for choice in options]
    streams = [synthesizer.stream(TEXT, voice, choice) for choice in options]
    pieces = [[], []]
    for turn in itertools.zip_longest(*streams):
        for got, piece in zip(pieces, turn, strict=True):
            got += [] if piece is None else [piece]
    for got, wanted in zip(pieces, alone, strict=True):
        np.testing.assert_array_equal(np.concatenate(got), wanted)


def test_bad_options(synthesizer, voice):
    with pytest.raises(CosyError, match="speed"):
        synthesizer.stream(TEXT, voice, Options(speed=1.5))
    with pytest.raises(CosyError, match="solver"):
        Options(solver="best")
    with pytest.raises(CosyError, match="look back"):
        Options(left_chunks=0)
    with pytest.raises(CosyError, match="empty"):
        synthesizer.stream(" ", voice)
    with pytest.raises(CosyError, match="empty"):
        list(synthesizer.stream(iter([]), voice))
