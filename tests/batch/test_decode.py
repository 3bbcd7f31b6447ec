"""The stage around the decoder, which stands still here: every part is spoken at once."""

import threading

import numpy as np
import pytest

from cosy_jax.batch.channel import Channel
from cosy_jax.batch.decode import decode
from cosy_jax.batch.messages import DecodedPart, FailedPart, Part
from cosy_jax.batch.stats import Stats
from cosy_jax.llm.continuous import Batching, Decoded
from tests.batch.test_messages import utterance


@pytest.fixture
def decode_all(synthesizer, monkeypatch):
    """Runs the stage; the ids of a part come from `ids`, and `stop` is set once `stop_after` parts are through."""

    def run(parts, ids=(7, 8, 9), stop_after=None):
        failed, stop = threading.Event(), threading.Event()

        class Instant:
            def __init__(self, *_, **__):
                pass

            def run(self, jobs, on_block):
                for count, job in enumerate(jobs, 1):
                    yield Decoded(job.tag, np.asarray(ids, np.int32), fallbacks=2)
                    if count == stop_after:
                        stop.set()

        monkeypatch.setattr("cosy_jax.batch.decode.ContinuousDecoder", Instant)
        source, sink = Channel(len(parts) + 1, failed), Channel(len(parts) + 1, failed)
        for part in parts:
            source.put(part)
        source.close()
        decode(source, sink, synthesizer, Batching(rows=4), stop, Stats())
        return list(sink)

    return run


def parts_of(whole):
    return [Part(whole, index, context=None) for index in range(whole.parts)]


def test_each_part_comes_back_with_what_was_spoken(decode_all):
    parts = [*parts_of(utterance("a", parts=2)), *parts_of(utterance("b"))]
    results = decode_all(parts)
    assert [result.part for result in results] == parts
    for result in results:
        assert isinstance(result, DecodedPart) and result.tokens.tolist() == [7, 8, 9]
        assert result.fallbacks == 2 and result.seconds >= 0


def test_a_part_that_says_nothing_has_failed(decode_all):
    (result,) = decode_all(parts_of(utterance()), ids=())
    assert isinstance(result, FailedPart) and "ended before it spoke" in result.error


@pytest.mark.parametrize(("stop_after", "begun"), [(1, "aaa"), (3, "aaa"), (4, "aaabb")])
def test_once_stopped_only_what_has_begun_goes_on(decode_all, stop_after, begun):
    parts = [*parts_of(utterance("a", parts=3)), *parts_of(utterance("b", parts=2)), *parts_of(utterance("c"))]
    results = decode_all(parts, stop_after=stop_after)
    assert "".join(result.part.utterance.line.key for result in results) == begun
