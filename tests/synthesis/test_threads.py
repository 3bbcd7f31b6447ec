"""One synthesizer, many threads: each gets what it would get alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cosy_jax import Request, Synthesizer
from cosy_jax.checkpoint import parameters
from cosy_jax.text.normalise import normalise
from tests.conftest import TINY
from tests.reference import REPOSITORY

THREADS = 16
TEXTS = ("Good morning.", "It costs 42 euros and 1,000 cents.", "In the 1990s nobody asked.", "How are you?")


def requests():
    for index in range(THREADS):
        recording = REPOSITORY / "tests" / "data" / f"prompt_{index % 2}.flac"
        yield Request(TEXTS[index % 4], recording=recording, transcript="Some words.", seed=index % 3)


def at_once(function, arguments):
    """`function` of each argument, all threads let go at the same moment."""
    arguments = list(arguments)
    gate = threading.Barrier(len(arguments))

    def one(argument):
        gate.wait()
        return function(argument)

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(one, arguments))


def test_weights_are_read_once(monkeypatch):
    read, whole = [], parameters.load_params

    def noted(folder, stage, *args, **options):
        read.append(stage)
        return whole(folder, stage, *args, **options)

    monkeypatch.setattr(parameters, "load_params", noted)
    synthesizer = Synthesizer(TINY)
    found = at_once(synthesizer.params, ["llm", "flow"] * (THREADS // 2))
    assert sorted(read) == ["flow", "llm"]
    assert all(params is found[index % 2] for index, params in enumerate(found))


@pytest.mark.slow
def test_numbers_are_read_out_alike():
    texts = [f"{TEXTS[1]} {TEXTS[2]} {number}" for number in range(100, 100 + THREADS)]
    for _ in range(3):
        assert at_once(normalise, texts) == [normalise(text) for text in texts]


@pytest.mark.slow
def test_speech_is_that_of_a_single_thread(synthesizer):
    alone = [synthesizer.speak(request).audio for request in requests()]
    shared = Synthesizer(TINY, llm="base")  # nothing loaded yet: the threads race for that too
    together = at_once(lambda request: shared.speak(request).audio, requests())
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_streams_side_by_side_are_those_of_a_single_thread(synthesizer):
    def stream(request):
        return np.concatenate(list(synthesizer.stream(request)))

    alone = [stream(request) for request in requests()]
    for ours, theirs in zip(at_once(stream, requests()), alone, strict=True):
        np.testing.assert_array_equal(ours, theirs)
