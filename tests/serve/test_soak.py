"""The server under streams that go on: what it keeps does not grow.

COSY_JAX_SOAK_SECONDS says for how long; 600 is what a release is given.
"""

import os
import statistics
import threading
import time

import httpx2
import numpy as np
import pytest

from tests.serve.process import serving, wait_for
from tests.serve.test_server import CLOSE, speak

pytestmark = pytest.mark.slow
SECONDS = float(os.environ.get("COSY_JAX_SOAK_SECONDS", "60"))
STREAMS = 3
REQUESTS = [("Good morning.", 1), ("How are you?", 2), ("See you soon.", 3)]
GROWTH = 1.1  # of memory, from the second third of the time to the last: in the first, programs are compiled


def close(heard, expected):
    first, second = (np.frombuffer(each, "<i2").astype(int) for each in (heard, expected))
    return first.shape == second.shape and np.abs(first - second).max() <= CLOSE


def go_on(server, number, expected, until, faults):
    """Streams one after the other, every fourth of which is left behind its first bytes."""
    count = number
    while time.monotonic() < until:
        count += 1
        key = REQUESTS[count % len(REQUESTS)]
        try:
            if count % 4:
                if not close(speak(server, *key), expected[key]):
                    faults.append(f"{key} sounds otherwise")
            else:
                leave(server, key)
        except httpx2.HTTPError as error:
            faults.append(repr(error))


def leave(server, key):
    body = {"input": key[0], "voice": "anna", "seed": key[1], "response_format": "pcm"}
    with httpx2.stream("POST", f"{server.url}/v1/audio/speech", json=body, timeout=300) as response:
        next(response.iter_raw())


def test_what_is_kept_does_not_grow(saved):
    faults, memory = [], []
    with serving(saved) as server:
        expected = {key: speak(server, *key) for key in REQUESTS}
        pages = server.metric("free_pages")
        until = time.monotonic() + SECONDS
        threads = [
            threading.Thread(target=go_on, args=(server, number, expected, until, faults)) for number in range(STREAMS)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            memory.append(server.resident())
            time.sleep(0.5)
        wait_for(lambda: server.metric("active") == server.metric("queued") == 0)
        wait_for(lambda: server.metric("free_pages") == pages)  # the voice's stay
        assert server.metric('requests_total{result="failed"}') == 0
        assert server.metric('requests_total{result="ok"}') > len(REQUESTS)
        assert server.metric("paused") == 0 and server.process.poll() is None
    assert faults == []
    third = len(memory) // 3
    assert statistics.median(memory[-third:]) < GROWTH * statistics.median(memory[third : 2 * third])
