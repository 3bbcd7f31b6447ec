"""HTTP connections that nobody can hold by being slow, for which uvicorn has no limits."""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

LARGEST_HEAD = 1 << 16  # bytes of a request's line and headers


class PatientProtocol(H11Protocol):
    """Ends a connection whose request has not arrived, or whose answer was not taken, within `seconds`."""

    def __init__(self, *given: Any, seconds: float, **named: Any) -> None:
        super().__init__(*given, **named)
        # `close` would wait until the rest is taken.
        self._arriving, self._stalled = (Countdown(seconds, lambda: self.transport.abort()) for _ in range(2))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()  # and begins with what came of the next request meanwhile
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arriving.stop()
        self._stalled.stop()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled.start()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled.stop()

    def _watch(self) -> None:
        """One limit for line, headers and body of each request, however often a byte of them comes."""
        mine = self.transport.get_protocol() in (self, None)  # and not a WebSocket's by now
        if mine and (self.cycle is None or self.cycle.more_body or self.cycle.response_complete):
            self._arriving.start()
        else:
            self._arriving.stop()


class Countdown:
    """Calls once `seconds` have passed since the first start, unless it was stopped."""

    def __init__(self, seconds: float, call: Callable[[], None]) -> None:
        self._seconds, self._call = seconds, call
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Of no effect while it runs."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._call)

    def stop(self) -> None:
        """Of no effect while it does not run."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
