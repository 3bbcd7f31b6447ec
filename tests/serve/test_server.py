"""The server as a process, with the small model."""

import signal
import subprocess
import sys
import threading

import httpx2
import numpy as np
import pytest

from cosy_jax.audio.write import pcm16
from cosy_jax.synthesis.request import Request
from cosy_jax.synthesis.synthesizer import Synthesizer
from tests.conftest import TINY
from tests.serve.process import serving, wait_for

pytestmark = pytest.mark.slow
CLOSE = 8  # of 32768: what rounding beside other streams makes of a vocoder of random weights


def speak(server, text, seed):
    body = {"input": text, "voice": "anna", "seed": seed, "response_format": "pcm"}
    return httpx2.post(f"{server.url}/v1/audio/speech", json=body, timeout=300).content


def test_the_same_request_is_the_same_audio_alone_and_beside_others(saved):
    synthesizer = Synthesizer(TINY, voices=saved)
    wanted = [("Good morning.", 1), ("How are you?", 2), ("Good morning.", 3)]
    answers = {}
    with serving(saved) as server:
        threads = [
            threading.Thread(target=lambda each=each: answers.update({each: speak(server, *each)})) for each in wanted
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
    for text, seed in wanted:
        expected = pcm16(np.concatenate(list(synthesizer.stream(Request(text, voice="anna", seed=seed)))))
        heard = np.frombuffer(answers[text, seed], "<i2").astype(int)
        assert np.abs(heard - np.frombuffer(expected, "<i2")).max() <= CLOSE


def test_sigterm_lets_what_sounds_end(saved):
    with serving(saved) as server:
        whole = speak(server, "Good morning to all of you.", 4)
        answers = []
        thread = threading.Thread(target=lambda: answers.append(speak(server, "Good morning to all of you.", 4)))
        thread.start()
        wait_for(lambda: server.metric("active") == 1)
        server.process.send_signal(signal.SIGTERM)
        thread.join()
        assert server.process.wait(60) == 0
    assert len(answers[0]) == len(whole) > 10_000


def test_an_address_that_is_taken_is_one_sentence(saved):
    with serving(saved) as server:
        port = server.url.rpartition(":")[2]
        command = [sys.executable, "-m", "cosy_jax", "serve", "--weights", str(TINY), "--port", port]
        second = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=120)
    assert second.returncode == 2 and "choose another --port" in second.stderr and "Traceback" not in second.stderr
