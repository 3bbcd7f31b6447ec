"""Clients that mean harm: who is slow, large or sends what no client of ours would."""

import contextlib
import io
import json
import socket
import time

import httpx2
import numpy as np
import pytest
import soundfile
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.serve.process import wait_for
from tests.serve.tone import KEY, Tones, pcm_of

SLOW = 0.5  # seconds


@contextlib.contextmanager
def opened(address, small=None):
    """A connection, one of its buffers `small`."""
    host, _, port = address.rpartition(":")
    with socket.socket() as made:
        made.settimeout(10)
        if small is not None:
            made.setsockopt(socket.SOL_SOCKET, small, 1 << 12)
        made.connect((host, int(port)))
        yield made


def rest(connection):
    """What comes until the end, which is also a reset."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(1 << 16):
            received += part
    return received


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET /health HT",
        b"POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /hea",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n{",
    ],
)
@pytest.mark.parametrize("drips", [False, True])
def test_a_request_that_does_not_arrive_ends_its_connection(serve, head, drips):
    address, _ = serve(slow_seconds=SLOW)
    with opened(address) as connection:
        connection.sendall(head)
        began = time.perf_counter()
        with contextlib.suppress(ConnectionError):
            while time.perf_counter() - began < 10 and drips:
                connection.sendall(b" ")  # a byte now and then does not help
                time.sleep(SLOW / 5)
        assert (b"200 OK" in rest(connection)) <= head.startswith(b"GET /health HTTP")
        assert time.perf_counter() - began < 8


def test_an_answer_that_nobody_takes_is_ended(serve):
    engine = Tones(pace=0.05, pieces=100)
    address, _ = serve(engine, slow_seconds=SLOW)
    body = json.dumps({"input": "x" * 4000, "voice": "anna", "response_format": "pcm"}).encode()  # 9.6 MB
    with opened(address, socket.SO_RCVBUF) as connection:
        head = "POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        wait_for(lambda: engine.tickets and engine.tickets[0].cancelled, 15)


def test_who_waits_for_what_is_slow_to_speak_is_not_slow(serve):
    address, _ = serve(Tones(pace=2 * SLOW, pieces=1), slow_seconds=SLOW)
    body = {"input": "Good morning.", "voice": "anna", "response_format": "pcm"}
    with httpx2.Client() as client:
        for _ in range(2):  # on one connection
            assert client.post(f"http://{address}/v1/audio/speech", json=body).content == pcm_of("Good morning.")
    with connect(f"ws://{address}/v1/audio/speech/stream") as session:
        time.sleep(2 * SLOW)
        session.send(json.dumps({"type": "session.config", "voice": "anna"}))
        session.send(json.dumps({"type": "input.text", "text": "Hello."}))
        assert json.loads(session.recv())["type"] == "audio.start"


def test_headers_are_bounded(serve):
    address, _ = serve()
    for head in (b"GET /" + b"x" * 200_000, b"GET /health HTTP/1.1\r\n" + b"X-Y: " + b"z" * 200_000):
        with opened(address) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(head)
            assert b" 200 " not in rest(connection)
    assert httpx2.get(f"http://{address}/health").status_code == 200


@pytest.mark.parametrize(
    "content",
    [
        b'{"input": "\\ud800", "voice": "anna"}',
        b'{"input": "Hello.", "voice": "\\udfff"}',
        b'{"input": "Hello.", "voice": "anna", "instructions": "\\ud800"}',
        b'{"input": "Hello.", "voice": "anna", "speed": NaN}',
        b'{"input": "Hello.", "voice": "anna", "seed": 1e999}',
        b'{"input": "Hello.", "voice": "anna", "seed": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"input": ' * 50_000,
        b"\xff\xfe{}",
        '{"input": "Hello.", "prompt_audio": "\U00031337"}'.encode(),
    ],
    ids=range(10),
)
def test_odd_json_is_refused(serve, content):
    address, service = serve()
    headers = {"content-type": "application/json"}
    response = httpx2.post(f"http://{address}/v1/audio/speech", content=content, headers=headers)
    assert 400 <= response.status_code < 500 and response.json()["error"]["message"]
    assert service.engine.requests == []


@pytest.mark.parametrize("name", ["%ff%fe", "%00", "..%2f..%2fetc", "%f0%9f%98%80" * 100, "a%0d%0ab", "%E2%80%AE"])
def test_odd_names_are_not_found(serve, name):
    address, _ = serve()
    for method in ("GET", "DELETE"):
        response = httpx2.request(method, f"http://{address}/v1/audio/voices/{name}")
        assert response.status_code == 404 and response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        ('{"type": "session.config", "api_key": "\\ud800"}', "API key"),
        ("[" * 60_000, "JSON"),
        ('{"type": "session.config", "api_key": 5}', "API key"),
        (f'{{"type": "session.config", "api_key": "{KEY}", "seed": 1e999}}', "seed"),
        (f'{{"type": "session.config", "api_key": "{KEY}", "voice": ["anna"]}}', "voice"),
        (b"\x00\xff", "text frame"),
    ],
)
def test_odd_messages_are_refused(serve, sent, says):
    address, _ = serve(keys=(KEY,))
    with connect(f"ws://{address}/v1/audio/speech/stream") as session:
        session.send(sent)
        assert says in json.loads(session.recv())["error"]["message"]


@pytest.mark.parametrize("text", ["\\ud800", "x" * 5000, 7])
def test_odd_texts_end_their_session(serve, text):
    address, service = serve()
    with connect(f"ws://{address}/v1/audio/speech/stream") as session:
        session.send('{"type": "session.config", "voice": "anna"}')
        session.send(f'{{"type": "input.text", "text": {json.dumps(text)}}}'.replace("\\\\", "\\"))
        assert json.loads(session.recv())["type"] == "error"
    wait_for(lambda: all(ticket.done for ticket in service.engine.tickets), 5)


def test_a_large_message_ends_its_session(serve):
    """Also one that is small until it is unpacked."""
    address, _ = serve()
    with connect(f"ws://{address}/v1/audio/speech/stream", compression="deflate") as session:
        with contextlib.suppress(ConnectionClosed):
            session.send("x" * 10_000_000)
        with pytest.raises(ConnectionClosed) as closed:
            session.recv()
    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009


def test_a_flood_of_texts_ends_its_session(serve):
    engine = Tones(pace=0.2)
    address, _ = serve(engine)
    with connect(f"ws://{address}/v1/audio/speech/stream") as session:
        session.send('{"type": "session.config", "voice": "anna"}')
        with contextlib.suppress(ConnectionClosed):
            for _ in range(200):
                session.send('{"type": "input.text", "text": "Hello."}')
                session.send('{"type": "input.flush"}')
        told = []
        with contextlib.suppress(ConnectionClosed):
            told += [json.loads(message) for message in session if isinstance(message, str)]
    assert not told or "Too many texts" in told[-1]["error"]["message"]
    assert len(engine.requests) < 20
    wait_for(lambda: all(ticket.done for ticket in engine.tickets), 5)


def silence(seconds, rate, channels=1, form="FLAC"):
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros((int(seconds * rate), channels), np.int16), rate, format=form)
    return buffer.getvalue()


def test_small_uploads_that_unpack_to_much_are_refused(serve):
    address, service = serve()
    long = silence(600, 16_000)
    lying = bytearray(long)
    lying[21] &= 0xF0  # its header says 5 s
    lying[22:26] = (80_000).to_bytes(4, "big")
    unknown = bytearray(long)
    unknown[21] &= 0xF0
    unknown[22:26] = bytes(4)
    fast = silence(100, 192_000)
    assert max(map(len, (long, fast))) < 1 << 19
    for content in (long, bytes(lying), bytes(unknown), fast):
        files = {"audio": ("p.flac", content)}
        response = httpx2.post(f"http://{address}/v1/audio/conversions", files=files, data={"voice": "ben"}, timeout=30)
        if content == bytes(lying):  # no more is read of it than it says
            assert response.status_code == 400 or len(service.engine.requests[0][0][0]) == 80_000
        else:
            assert response.status_code == 400 and response.json()["error"]["message"]


def test_many_parts_are_refused(serve):
    address, _ = serve()
    many = [("audio_sample", (f"{number}.wav", b"x")) for number in range(2000)]
    response = httpx2.post(f"http://{address}/v1/audio/voices", files=many, data={"name": "x"})
    assert response.status_code == 400
