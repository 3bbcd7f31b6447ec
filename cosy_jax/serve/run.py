"""The server as a process: its socket, its signals, its log."""

import contextlib
import functools
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from types import FrameType

import uvicorn

from cosy_jax.errors import CosyError
from cosy_jax.serve.app import make_app
from cosy_jax.serve.guard import ACCESS
from cosy_jax.serve.protocol import LARGEST_HEAD, PatientProtocol
from cosy_jax.serve.service import Service
from cosy_jax.serve.settings import ServeSettings

_BACKLOG = 512
_LARGEST_MESSAGE = 1 << 16  # bytes of a WebSocket's


@contextlib.contextmanager
def listen(settings: ServeSettings) -> Iterator[socket.socket]:
    """A socket that listens; CosyError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        made = socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        raise CosyError(f"Cannot listen on {where} ({error.strerror}): choose another --port or --host.") from error
    with made:
        yield made


def serve(service: Service, listening: socket.socket, warm: bool) -> None:
    """Answers until SIGTERM or SIGINT, after which what sounds has `drain_seconds` to end; a second one ends at
    once."""
    _log_to_stderr()
    _Server(make_config(service, warm)).run(sockets=[listening])


def make_config(service: Service, warm: bool = True) -> uvicorn.Config:
    """How uvicorn serves it."""
    settings = service.settings
    return uvicorn.Config(
        make_app(service, warm),
        http=functools.partial(PatientProtocol, seconds=settings.slow_seconds),  # type: ignore[arg-type]
        h11_max_incomplete_event_size=LARGEST_HEAD,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=settings.most_connections,
        timeout_graceful_shutdown=int(settings.drain_seconds),
        ws_max_size=_LARGEST_MESSAGE,
    )


class _Server(uvicorn.Server):
    """Ends with status 0 where it was asked to end; uvicorn's own sends itself the signal again."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        def handle(number: int, frame: FrameType | None) -> None:
            self.handle_exit(number, frame)

        before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _log_to_stderr() -> None:
    """The access log as it is, one JSON object a line; errors of the server with their traceback."""
    handler = logging.StreamHandler(sys.stderr)
    ACCESS.addHandler(handler)
    ACCESS.setLevel(logging.INFO)
    ACCESS.propagate = False
