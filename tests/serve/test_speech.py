"""Speech over HTTP, as clients hear it."""

import base64
import json
import time

import httpx2
import pytest

from tests.reference import REPOSITORY
from tests.serve.tone import PROMPT, RATE, Tones, pcm_of, tone


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


def test_tone_lasts_as_long_as_its_text():
    assert len(tone("x" * 20)) == RATE
