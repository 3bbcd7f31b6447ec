"""The server's process killed while a voice is uploaded."""

import threading
import time

import httpx2
import pytest

from cosy_jax.synthesis.voices import list_voices
from tests.serve.process import serving
from tests.serve.tone import PROMPT

pytestmark = pytest.mark.slow
FRACTIONS = (0.2, 0.9, 3.0)  # of the time that an upload takes in a process that has done one before


def upload(server, name):
    files, data = {"audio_sample": ("p.flac", PROMPT)}, {"name": name, "ref_text": "What it says."}
    return httpx2.post(f"{server.url}/v1/audio/voices", files=files, data=data, timeout=600)


def try_upload(server, name, ended):
    try:
        ended.append(upload(server, name).status_code)
    except httpx2.TransportError as error:
        ended.append(type(error))


def names(server):
    return [voice["id"] for voice in httpx2.get(f"{server.url}/v1/audio/voices", timeout=60).json()["data"]]


def test_no_half_voice_is_left(saved, tmp_path):
    folder = tmp_path / "voices"
    with serving(folder) as server:
        assert upload(server, "first").status_code == 201  # reads or compiles the programs
        began = time.perf_counter()
        assert upload(server, "second").status_code == 201
        takes = time.perf_counter() - began
        expected = ["first", "second"]
    for number, fraction in enumerate(FRACTIONS):
        with serving(folder) as server:
            assert names(server) == expected
            ended = []
            thread = threading.Thread(target=try_upload, args=(server, f"v{number}", ended))
            thread.start()
            time.sleep(fraction * takes)
            server.end()
            thread.join()
        found = list_voices(folder)
        assert [voice.problem for voice in found if voice.problem] == []
        expected = [voice.name for voice in found]
        assert {"first", "second"} <= set(expected) and (f"v{number}" in expected or ended != [201])
    whole = (folder / "first.safetensors").read_bytes()
    (folder / ".cosy_jax-0123456789abcdef").write_bytes(whole[: len(whole) // 2])  # where a kill hits the writing
    with serving(folder) as server:
        assert names(server) == expected
        assert upload(server, "last").status_code == 201
        assert names(server) == sorted([*expected, "last"])
    assert {path.suffix for path in folder.iterdir()} == {".safetensors"}
