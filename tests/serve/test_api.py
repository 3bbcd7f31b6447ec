"""The routes, as clients see them."""

import base64
import contextlib
import io
import json
import time

import httpx2
import numpy as np
import openai
import pytest
import soundfile
from websockets.sync.client import connect

from cosy_jax.audio.write import pcm16
from cosy_jax.errors import CosyError
from cosy_jax.serve.settings import ServeSettings, read_keys
from tests.reference import REPOSITORY
from tests.serve.tone import KEY, RATE, Tones, tone

PROMPT = (REPOSITORY / "tests" / "data" / "prompt_0.flac").read_bytes()


@pytest.fixture
def client():
    """OpenAI's client of a server: `client(address, key)`."""
    with contextlib.ExitStack() as stack:

        def make(address, key="none"):
            return stack.enter_context(openai.OpenAI(base_url=f"http://{address}/v1", api_key=key))

        yield make


def pcm_of(text, seed=0):
    return pcm16(tone(text, seed))


@pytest.mark.parametrize("form", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
def test_openais_client_gets_every_format(serve, client, form):
    address, _ = serve()
    with client(address).audio.speech.with_streaming_response.create(
        model="tts-1", voice="anna", input="Good morning, all.", response_format=form
    ) as response:
        data = b"".join(response.iter_bytes())
        assert response.headers["x-request-id"]
    assert len(data) > 1000
    if form == "pcm":
        assert data == pcm_of("Good morning, all.")
    if form == "wav":
        assert data[44:] == pcm_of("Good morning, all.")


def test_a_stream_comes_while_it_is_spoken(serve, client):
    address, _ = serve(Tones(pace=0.3))
    began, times = time.perf_counter(), []
    with client(address).audio.speech.with_streaming_response.create(
        model="x", voice="anna", input="Some words to speak.", response_format="pcm"
    ) as response:
        for _ in response.iter_bytes():
            times.append(time.perf_counter() - began)
    assert times[0] < 0.75 and times[-1] > 1.0


def test_events_end_in_the_usage(serve):
    address, service = serve()
    body = {"input": "Good morning.", "voice": "anna", "stream_format": "sse", "response_format": "pcm"}
    response = httpx2.post(f"http://{address}/v1/audio/speech", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(line.removeprefix("data: ")) for line in response.text.splitlines() if line]
    assert b"".join(base64.b64decode(event["audio"]) for event in events[:-1]) == pcm_of("Good morning.")
    usage = events[-1]["usage"]
    assert events[-1]["type"] == "speech.audio.done" and usage["output_tokens"] == 25 * len("Good morning.") // 20
    assert usage["input_tokens"] == service.count_tokens("Good morning.") > 0


def test_voices_as_objects_seeds_and_speeds(serve, client):
    engine = Tones()
    address, _ = serve(engine)
    ours = client(address)
    ours.audio.speech.create(model="x", voice={"id": "ben"}, input="Hello.", speed=1.5, extra_body={"seed": 7})
    ours.audio.speech.create(
        model="x", voice="anna", input="Hello.", instructions="Whisper.", extra_body={"stream": False}
    )
    (first, whole), (second, also) = engine.requests
    assert (first.voice, first.seed, first.speed, whole) == ("ben", 7, 1.5, True)
    assert (second.voice, second.instruct, second.way, also) == ("anna", "Whisper.", "instruct", True)


def test_a_full_queue_is_429_and_openais_client_asks_again(serve, client):
    address, service = serve(Tones(busy=1))
    body = {"input": "Hello.", "voice": "anna"}
    refused = httpx2.post(f"http://{address}/v1/audio/speech", json=body)
    assert refused.status_code == 429 and refused.headers["retry-after"] == "2"
    assert refused.json()["error"]["type"] == "rate_limit_error"
    service.engine.busy = 1
    assert len(client(address).audio.speech.create(model="x", voice="anna", input="Hello.").content) > 500
    assert len(service.engine.requests) == 3 and service.results == {"refused": 2, "ok": 1}


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"input": "", "voice": "anna"}, 400, "input"),
        ({"voice": "anna"}, 400, "input"),
        ({"input": "Hello.", "voice": "nobody"}, 404, "voice"),
        ({"input": "Hello.", "voice": "../anna"}, 404, "voice"),
        ({"input": "Hello.", "voice": "anna", "response_format": "ogg"}, 400, "response_format"),
        ({"input": "Hello.", "voice": "anna", "speed": 3}, 400, "speed"),
        ({"input": "Hello.", "voice": "anna", "mode": "sing"}, 400, "mode"),
        ({"input": "Hello.", "voice": "anna", "mode": "instruct"}, 400, "instructions"),
        ({"input": "x" * 5000, "voice": "anna"}, 400, "input"),
        ({"input": "...", "voice": "anna"}, 400, "input"),
        ({"input": "wrong", "voice": "anna"}, 400, "input"),
        ({"input": "Hello.", "prompt_audio": "not base64!"}, 400, "prompt_audio"),
        ({"input": "Hello.", "prompt_audio": base64.b64encode(b"no audio").decode()}, 400, None),
        ({"input": "Hello.", "voice": "anna", "seed": 10**30}, 400, "seed"),
    ],
)
def test_what_is_wrong_is_one_sentence_in_openais_form(serve, body, status, param):
    address, _ = serve()
    response = httpx2.post(f"http://{address}/v1/audio/speech", json=body)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (status, param)
    assert error["message"] and str(REPOSITORY) not in response.text and "/tmp" not in response.text


def test_a_failure_of_ours_says_nothing_about_the_machine(serve):
    address, _ = serve()
    response = httpx2.post(f"http://{address}/v1/audio/speech", json={"input": "fail", "voice": "anna"})
    assert response.status_code == 500 and "secret" not in response.text
    assert response.json()["error"]["type"] == "server_error"


def test_a_client_that_leaves_ends_its_stream(serve):
    engine = Tones(pace=0.2, pieces=50)
    address, service = serve(engine)
    for read in (0, 1):
        body = {"input": "x" * 400, "voice": "anna", "response_format": "pcm"}
        with httpx2.stream("POST", f"http://{address}/v1/audio/speech", json=body) as response:
            for _ in range(read):
                next(response.iter_raw())
    deadline = time.perf_counter() + 5
    while not all(ticket.done for ticket in engine.tickets) and time.perf_counter() < deadline:
        time.sleep(0.05)
    assert [ticket.cancelled for ticket in engine.tickets] == [True, True]
    assert service.results["cancelled"] == 2


def test_voices_are_saved_listed_spoken_in_and_removed(serve, monkeypatch):
    address, service = serve()
    base = f"http://{address}/v1/audio/voices"
    monkeypatch.setattr(service.synthesizer, "voice", lambda *_: service.synthesizer.find_voice("anna"))
    upload = {"files": {"audio_sample": ("p.flac", PROMPT)}, "data": {"name": "carl", "ref_text": "What it says."}}
    made = httpx2.post(base, **upload)
    assert made.status_code == 201 and made.json()["id"] == "carl"
    assert httpx2.post(base, **upload).status_code == 409
    assert [voice["id"] for voice in httpx2.get(base).json()["data"]] == ["anna", "ben", "carl"]
    assert httpx2.get(f"{base}/carl/preview").content[:4] == b"RIFF"
    assert httpx2.delete(f"{base}/carl").json()["deleted"] is True
    assert httpx2.delete(f"{base}/carl").status_code == httpx2.get(f"{base}/carl").status_code == 404


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 300, "a\x00b"])
def test_names_cannot_leave_their_folder(serve, name):
    address, service = serve()
    before = sorted(service.own.parent.rglob("*"))
    files = {"audio_sample": ("p.flac", PROMPT)}
    response = httpx2.post(f"http://{address}/v1/audio/voices", files=files, data={"name": name})
    assert response.status_code == 400 and sorted(service.own.parent.rglob("*")) == before


def hundred_channels():
    buffer = io.BytesIO()
    soundfile.write(buffer, np.random.default_rng(0).normal(0, 0.1, (40_000, 100)), 16_000, format="WAV")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF",
        b"\xff" * 5000,
        hundred_channels(),
        PROMPT[:1000],
        b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\1\0\1\0\xff\xff\xff\x7f" + bytes(50),
    ],
)
def test_hostile_audio_is_refused(serve, content):
    address, _ = serve()
    files = {"audio_sample": ("p.wav", content)}
    response = httpx2.post(f"http://{address}/v1/audio/voices", files=files, data={"name": "evil"})
    assert response.status_code == 400 and response.json()["error"]["message"]


def test_bodies_are_bounded_whatever_they_say(serve):
    address, _ = serve(largest_body=1 << 20)
    url = f"http://{address}/v1/audio/speech"
    assert httpx2.post(url, content=b"x" * (2 << 20)).status_code == 413

    def endless():
        for _ in range(100):
            yield b"x" * (1 << 16)

    with contextlib.suppress(httpx2.TransportError):  # it was cut off while it still sent
        assert httpx2.post(url, content=endless()).status_code == 413


def test_keys_are_asked_for_everywhere_but_where_health_is(serve, client):
    address, _ = serve(keys=(KEY,))
    assert httpx2.get(f"http://{address}/health").status_code == 200
    for path in ("/v1/models", "/v1/audio/voices", "/metrics", "/docs", "/openapi.json"):
        refused = httpx2.get(f"http://{address}{path}")
        assert refused.status_code == 401 and refused.json()["error"]["code"] == "invalid_api_key"
        assert httpx2.get(f"http://{address}{path}", headers={"authorization": f"Bearer {KEY}"}).status_code == 200
    with pytest.raises(openai.AuthenticationError):
        client(address, key="wrong").models.list()
    assert [model.id for model in client(address, key=KEY).models.list()] == ["cosy_jax"]


def test_other_sites_cannot_use_a_browser_to_get_in(serve):
    address, _ = serve()
    url = f"http://{address}/v1/audio/voices"
    assert httpx2.get(url, headers={"origin": "https://evil.example"}).status_code == 403
    assert httpx2.get(url, headers={"host": "evil.example"}).status_code == 403
    assert httpx2.get(url, headers={"origin": f"http://{address}"}).status_code == 200


def test_the_first_ports_route_reads_only_below_its_folder(serve, tmp_path):
    folder = tmp_path / "prompts"
    folder.mkdir()
    (folder / "p.flac").write_bytes(PROMPT)
    engine = Tones()
    closed, _ = serve(engine)
    body = {"text": "Hello.", "prompt_audio": "p.flac", "prompt_text": "What it says."}
    assert httpx2.post(f"http://{closed}/synthesize", json=body).status_code == 403
    address, _ = serve(engine, prompts=folder)
    assert httpx2.post(f"http://{address}/synthesize", json=body).content[44:] == pcm_of("Hello.")
    for path in ("../voices/anna.safetensors", "/etc/passwd"):
        assert httpx2.post(f"http://{address}/synthesize", json=body | {"prompt_audio": path}).status_code == 403
    spoken = httpx2.post(f"http://{address}/synthesize", json={"text": "Hello.", "speaker": "ben", "speed": 1.2})
    assert spoken.status_code == 200 and engine.requests[-1][0].speed == 1.2


def test_conversions(serve):
    engine = Tones()
    address, _ = serve(engine)
    answer = httpx2.post(
        f"http://{address}/v1/audio/conversions",
        files={"audio": ("p.flac", PROMPT)},
        data={"voice": "ben", "response_format": "pcm"},
    )
    assert answer.content == pcm_of("x" * 20) and engine.requests[0][1] is False


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


def test_metrics_health_readiness_and_documentation(serve, client):
    address, service = serve()
    client(address).audio.speech.create(model="x", voice="anna", input="Hello.")
    metrics = httpx2.get(f"http://{address}/metrics").text
    assert 'cosy_jax_requests_total{result="ok"} 1.0' in metrics
    assert 'cosy_jax_first_audio_seconds_bucket{le="+Inf"}' in metrics
    assert httpx2.get(f"http://{address}/health").json() == {"status": "ok"}
    assert httpx2.get(f"http://{address}/ready").status_code == 200
    service.ready = False
    assert httpx2.get(f"http://{address}/ready").status_code == 503
    docs = httpx2.get(f"http://{address}/docs").text
    assert "/v1/audio/speech" in docs and "https://" not in docs


def test_settings_demand_keys_where_others_can_reach_the_server(tmp_path):
    with pytest.raises(CosyError, match="--api-key-file"):
        ServeSettings(host="0.0.0.0")
    with pytest.raises(CosyError, match="easy to guess"):
        ServeSettings(keys=("short",))
    path = tmp_path / "keys"
    path.write_text(f"# of the team\n\n{KEY}\n")
    assert ServeSettings(host="0.0.0.0", keys=read_keys(path)).keys == (KEY,)
    path.write_text("\n")
    with pytest.raises(CosyError, match="no key"):
        read_keys(path)


def test_tone_lasts_as_long_as_its_text():
    assert len(tone("x" * 20)) == RATE
