"""Many requests at once give what each of them gives alone."""

import asyncio
import random
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from cosy_jax.engine.engine import Engine
from cosy_jax.engine.errors import BusyError, CancelledError
from cosy_jax.engine.limits import Limits
from cosy_jax.errors import CosyError
from cosy_jax.nn.compile_log import count_compilations
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.request import Request
from cosy_jax.synthesis.speech import NotFiniteError
from cosy_jax.synthesis.voice import Voice

RANDOM = np.random.default_rng(0)
# Beside others the mel differs in its last bits (7e-7); a vocoder of random weights makes up to a hundred times that
# of it.
LIMIT = 2e-4
TEXTS = (
    "Good morning.",
    "How are you today?",
    "One, two, three, four.",
    "The quick brown fox jumps over the lazy dog.",
    "Nothing is as it was. Everything has changed since then.",
)


def a_voice(tokens):
    mel = RANDOM.normal(-4, 2, (2 * tokens, 80)).astype(np.float32)
    prompt = Prompt(
        RANDOM.integers(0, 6561, tokens).astype(np.int32), mel, RANDOM.standard_normal(192).astype(np.float32)
    )
    return Voice(prompt, "Some words that were said.")


VOICES = [a_voice(tokens) for tokens in (60, 37, 10)]


def requests(count):
    return [Request(TEXTS[i % len(TEXTS)], voice=VOICES[i % len(VOICES)], seed=i) for i in range(count)]


def stream_alone(synthesizer, request):
    return np.concatenate([np.zeros(0, np.float32), *synthesizer.stream(request)])


@pytest.fixture(scope="module")
def engine(synthesizer):
    with Engine(synthesizer, Limits(streams=8, seconds=20)) as engine:
        yield engine


@pytest.mark.slow
def test_sixteen_streams_some_cancelled_one_poisoned(synthesizer, engine):
    wanted = requests(16)
    alone = [stream_alone(synthesizer, request) for request in wanted]
    ill = Voice(replace(VOICES[0].prompt, mel=np.full_like(VOICES[0].prompt.mel, np.nan)), "Some words.")
    tickets = [engine.submit(request) for request in wanted]
    poisoned = engine.submit(Request("Poison for all the others.", voice=ill))
    gone = random.Random(0).sample(range(16), 5)
    timers = [threading.Timer(0.4 * n, tickets[index].cancel) for n, index in enumerate(gone)]
    for timer in timers:
        timer.start()
    with pytest.raises(NotFiniteError):
        poisoned.result()
    for index, (ticket, expected) in enumerate(zip(tickets, alone, strict=True)):
        if index in gone:
            with pytest.raises(CancelledError):
                ticket.result()
                raise CancelledError("It had ended before.")
        else:
            np.testing.assert_allclose(ticket.result(), expected, atol=LIMIT)
    assert engine.meters.active == 0


@pytest.mark.slow
def test_text_that_arrives_conversions_and_whole_requests_share_the_rows(synthesizer, engine):
    words = ["The quick ", "brown fox jumps ", "over the dog and runs away."]
    arriving, again = (replace(requests(1)[0], text=iter(words)) for _ in range(2))
    source = (0.1 * RANDOM.standard_normal(40_000).astype(np.float32), 16_000)
    tickets = [
        engine.submit(arriving),
        engine.convert(source, VOICES[1]),
        engine.convert(source, VOICES[1], whole=True),
        engine.submit(requests(4)[3], whole=True),
        engine.submit(requests(5)[4]),
    ]
    converted = synthesizer.convert_voice(source, VOICES[1]).audio
    np.testing.assert_allclose(tickets[0].result(), stream_alone(synthesizer, again), atol=LIMIT)
    assert len(tickets[1].result()) == len(converted)
    np.testing.assert_allclose(tickets[2].result(), converted, atol=LIMIT)
    np.testing.assert_allclose(tickets[3].result(), synthesizer.speak(requests(4)[3]).audio, atol=LIMIT)
    np.testing.assert_allclose(tickets[4].result(), stream_alone(synthesizer, requests(5)[4]), atol=LIMIT)


@pytest.mark.slow
def test_a_second_utterance_in_a_voice_equals_the_first(synthesizer, engine):
    """What is kept of a voice is what would be computed."""
    voice = a_voice(90)
    fresh = engine.submit(Request(TEXTS[0], voice=voice)).result()
    reused = engine.meters.voices_reused
    np.testing.assert_allclose(engine.submit(Request(TEXTS[0], voice=voice)).result(), fresh, atol=LIMIT)
    assert engine.meters.voices_reused == reused + 1


@pytest.mark.slow
def test_from_asyncio_many_at_once(synthesizer, engine):
    async def listen(request):
        return np.concatenate([piece async for piece in engine.submit(request)])

    async def all_of_them():
        return await asyncio.gather(*map(listen, requests(4)))

    for audio, request in zip(asyncio.run(all_of_them()), requests(4), strict=True):
        np.testing.assert_allclose(audio, stream_alone(synthesizer, request), atol=LIMIT)


@pytest.mark.slow
def test_what_is_wrong_with_a_request_is_told_and_harms_no_other(synthesizer, engine):
    well = engine.submit(requests(1)[0])

    def breaks():
        yield "These words come. "
        raise OSError("The line is dead.")

    broken = engine.submit(replace(requests(1)[0], text=breaks()))
    unknown = engine.submit(Request("Hello.", voice="nobody"))
    with pytest.raises(OSError, match="dead"):
        broken.result()
    with pytest.raises(CosyError, match="nobody"):
        unknown.result()
    with pytest.raises(CosyError, match="speed"):
        engine.submit(replace(requests(1)[0], speed=1.5))
    with pytest.raises(CosyError, match="slip"):
        engine.submit(replace(requests(1)[0], reference_slips=True))
    assert len(well.result())


@pytest.mark.slow
def test_a_full_queue_refuses_at_once_and_names_the_wait(synthesizer):
    with Engine(synthesizer, Limits(streams=1, queue=1, seconds=20)) as engine:
        tickets = [engine.submit(request) for request in requests(2)]
        with pytest.raises(BusyError, match="ask again in") as refused:
            engine.submit(requests(1)[0])
        assert refused.value.seconds >= 1 and engine.meters.refused == 1
        assert all(len(ticket.result()) for ticket in tickets)


@pytest.mark.slow
def test_closing_drains_or_cancels(synthesizer):
    engine = Engine(synthesizer, Limits(streams=2, seconds=20))
    ticket = engine.submit(requests(1)[0])
    engine.close()
    assert ticket.done and len(ticket.result())
    with pytest.raises(CosyError, match="closed"):
        engine.submit(requests(1)[0])
    engine = Engine(synthesizer, Limits(streams=2, seconds=20))
    tickets = [engine.submit(request) for request in requests(12)]  # more than are prepared at a time
    engine.close(drain=False)
    for ticket in tickets:
        with pytest.raises(CancelledError):
            ticket.result()
    with pytest.raises(CosyError, match="closed"):
        engine.warm()


@pytest.mark.slow
def test_nothing_compiles_once_it_is_warm(synthesizer):
    with Engine(synthesizer, Limits(streams=2, seconds=8, recording=4, left_chunks=8, piece_rows=2)) as engine:
        counts = []
        engine.warm(lambda done, of: counts.append((done, of)))
        assert counts[-1][0] == counts[-1][1] and [done for done, _ in counts] == sorted({done for done, _ in counts})
        swell = 0.55 + 0.45 * np.sin(np.arange(60_000) / 640)  # as syllables do: plain noise is no recording of speech
        source = ((0.1 * swell * RANDOM.standard_normal(60_000)).astype(np.float32), 16_000)
        with count_compilations() as compiled:
            tickets = [engine.submit(replace(requests(1)[0], seed=seed)) for seed in range(3)]
            tickets.append(engine.submit(Request("Hi.", recording=source, transcript="Noise is what we hear.")))
            tickets.append(engine.submit(replace(requests(1)[0], text=iter(["Go ", "on."]))))
            assert all(len(ticket.result()) for ticket in tickets)
        assert compiled.programs == 0


@pytest.mark.slow
def test_requests_are_spoken_while_it_is_warmed(synthesizer, monkeypatch):
    """By an engine that has one program after the other to compile, until it has spoken."""
    tickets, until = [], time.monotonic() + 300

    def programs(*_):
        while not (tickets and tickets[0].done) and time.monotonic() < until:
            yield 1, 2

    monkeypatch.setattr("cosy_jax.engine.engine.warm", programs)
    with Engine(synthesizer, Limits(streams=1, seconds=20)) as engine:
        engine.warm(lambda done, of: tickets or tickets.append(engine.submit(requests(1)[0])))
        assert tickets[0].done and len(tickets[0].result())


def test_too_little_memory_is_one_sentence(synthesizer):
    with pytest.raises(CosyError, match="not enough for one stream"):
        Engine(synthesizer, Limits(memory=1000))


@pytest.mark.slow
def test_closing_ends_the_warming(synthesizer):
    engine, counts = Engine(synthesizer, Limits(streams=1, seconds=20)), []
    closing = threading.Thread(target=engine.close, args=(False,))

    def on_program(done, of):
        counts.append((done, of))
        if done == 1:
            closing.start()
            time.sleep(0.2)

    with pytest.raises(CancelledError):
        engine.warm(on_program)
    closing.join()
    assert counts[-1][0] < 5 < counts[-1][1]
