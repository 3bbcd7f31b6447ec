"""Voices over HTTP."""

import io

import httpx2
import numpy as np
import pytest
import soundfile

from tests.serve.tone import PROMPT


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
