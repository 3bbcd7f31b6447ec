"""Text that arrives over a WebSocket."""

import json
import time

import pytest
from websockets.sync.client import connect

from tests.serve.tone import KEY, Tones, pcm_of


def messages(socket):
    """All that comes until the end: audio joined, and the types of the others."""
    audio, kinds = b"", []
    for message in socket:
        if isinstance(message, bytes):
            audio += message
        else:
            kinds.append(json.loads(message)["type"])
    return audio, kinds


def test_text_over_a_websocket_is_appended_to_what_is_spoken(serve):
    engine = Tones()
    address, _ = serve(engine)
    with connect(f"ws://{address}/v1/audio/speech/stream") as socket:
        socket.send(json.dumps({"type": "session.config", "voice": "anna", "seed": 3}))
        for words in ("Good ", "morning."):
            socket.send(json.dumps({"type": "input.text", "text": words}))
        socket.send(json.dumps({"type": "input.flush"}))
        socket.send(json.dumps({"type": "input.text", "text": "And again."}))
        socket.send(json.dumps({"type": "input.done"}))
        audio, kinds = messages(socket)
    assert audio == pcm_of("Good morning.", 3) + pcm_of("And again.", 4)
    assert kinds == ["audio.start", "audio.done", "audio.start", "audio.done", "session.done"]
    assert len(engine.requests) == 2


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ("no json", "JSON"),
        ("[]", "JSON"),
        ('{"type": "input.text"}', "session.config"),
        ('{"type": "session.config", "voice": "nobody"}', "nobody"),
        ('{"type": "session.config", "response_format": "ogg"}', "response_format"),
    ],
)
def test_what_is_wrong_on_a_websocket_is_a_message(serve, sent, says):
    address, _ = serve()
    with connect(f"ws://{address}/v1/audio/speech/stream") as socket:
        socket.send(sent)
        error = json.loads(socket.recv())
    assert error["type"] == "error" and says in error["error"]["message"]


def test_a_websocket_brings_its_key_and_may_not_be_idle(serve):
    address, _ = serve(keys=(KEY,), idle_seconds=0.3)
    for key, says in (("wrong", "API key"), (KEY, "Nothing was said")):
        with connect(f"ws://{address}/v1/audio/speech/stream") as socket:
            socket.send(json.dumps({"type": "session.config", "api_key": key}))
            assert says in json.loads(socket.recv())["error"]["message"]


def test_a_websocket_that_is_left_ends_what_it_asked_for(serve):
    engine = Tones(pace=0.2, pieces=50)
    address, _ = serve(engine)
    with connect(f"ws://{address}/v1/audio/speech/stream") as socket:
        socket.send(json.dumps({"type": "session.config", "voice": "anna"}))
        socket.send(json.dumps({"type": "input.text", "text": "x" * 300}))
        socket.send(json.dumps({"type": "input.flush"}))
        socket.recv()
    deadline = time.perf_counter() + 5
    while not engine.tickets[0].cancelled and time.perf_counter() < deadline:
        time.sleep(0.05)
    assert engine.tickets[0].cancelled
