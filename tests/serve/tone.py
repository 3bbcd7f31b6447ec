"""An engine that speaks tones, so that what is tested is the server; a server on a port of its own."""

import contextlib
import threading
import time

import numpy as np
import uvicorn

from cosy_jax.audio.write import pcm16
from cosy_jax.engine.errors import BusyError
from cosy_jax.engine.meters import Meters
from cosy_jax.engine.ticket import Ticket
from cosy_jax.errors import CosyError
from cosy_jax.serve.run import listen, make_config
from cosy_jax.serve.service import Service
from cosy_jax.serve.settings import ServeSettings
from tests.reference import REPOSITORY

PROMPT = (REPOSITORY / "tests" / "data" / "prompt_0.flac").read_bytes()
RATE = 24_000
KEY = "a key that nobody guesses"


def tone(text, seed=0):
    """A twentieth of a second a character, another tone for each seed."""
    time_axis = np.arange(RATE * len(text) // 20) / RATE
    return (0.3 * np.sin(2 * np.pi * (200 + 10 * seed) * time_axis)).astype(np.float32)


def pcm_of(text, seed=0):
    """The bytes of a tone."""
    return pcm16(tone(text, seed))


class Tones:
    """Of the engine's interface. `pace`: seconds between pieces; `busy`: how many requests are still refused."""

    def __init__(self, pace=0.0, busy=0, pieces=4):
        self.meters, self.pace, self.busy, self.pieces = Meters(), pace, busy, pieces
        self.requests, self.tickets = [], []

    def submit(self, request, whole=False):
        self.requests.append((request, whole))
        if self.busy:
            self.busy -= 1
            raise BusyError(2.0)
        if not whole:
            request.check_streamable()
        return self._speak(request.text, request.seed)

    def convert(self, source, voice, whole=False, speed=1.0):
        self.requests.append((source, whole))
        return self._speak("x" * 20, 0)

    def warm(self, *_):
        pass

    def close(self, drain=True):
        pass

    def _speak(self, text, seed):
        ticket = Ticket(RATE, lambda: None)
        self.tickets.append(ticket)
        threading.Thread(target=self._work, args=(ticket, text, seed), daemon=True).start()
        return ticket

    def _work(self, ticket, text, seed):
        words = text if isinstance(text, str) else "".join(text)
        if words == "fail":
            ticket.end(RuntimeError("a secret of the machine"))
            return
        if words == "wrong":
            ticket.end(CosyError("These words cannot be spoken: use others.", "text"))
            return
        for piece in np.array_split(tone(words, seed), self.pieces):
            time.sleep(self.pace)
            if ticket.done:
                return
            ticket.put(piece)
        ticket.end()


@contextlib.contextmanager
def running(service):
    """The address of a server of this service, in a thread of this process."""
    with listen(service.settings) as socket:
        server = uvicorn.Server(make_config(service))
        thread = threading.Thread(target=server.run, args=([socket],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"127.0.0.1:{socket.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


def make_service(synthesizer, engine=None, **settings):
    return Service(engine or Tones(), synthesizer, ServeSettings(port=0, **settings))
