"""WS /v1/audio/speech/stream: a text that arrives while it is spoken.

From the client, JSON: {"type": "session.config", "voice", "response_format", "seed", "mode", "instructions", "api_key"}
first, then any number of {"type": "input.text", "text"}; {"type": "input.flush"} speaks what has come to its end, after
which other text begins anew; {"type": "input.done"} does so for good, {"type": "session.close"} ends at once.

From the server: {"type": "audio.start", "sample_rate", "format"}, audio as binary frames, {"type": "audio.done"} at the
end of each, {"type": "session.done"} at the end of all, {"type": "error", "error"} for what goes wrong.
"""

import asyncio
import json
import queue
from collections.abc import Iterator
from typing import Any, Literal

from fastapi import APIRouter, WebSocket
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocketDisconnect

from cosy_jax.engine.ticket import Ticket
from cosy_jax.errors import CosyError
from cosy_jax.serve.encode import make_encoder
from cosy_jax.serve.errors import ApiError, answer
from cosy_jax.serve.guard import is_key
from cosy_jax.serve.service import Service, service_of
from cosy_jax.serve.speech import Form
from cosy_jax.synthesis.request import Request

router = APIRouter()
_POLICY, _NORMAL = 1008, 1000  # closing codes
_MOST_TEXTS = 8  # of one session that have not been spoken to their end


class Config(BaseModel):
    """What a session is spoken in."""

    model_config = ConfigDict(extra="ignore")

    voice: str | None = None
    response_format: Form = "pcm"
    seed: int = Field(0, ge=-(2**62), le=2**62)
    mode: Literal["zero-shot", "cross-lingual", "instruct"] | None = None
    instructions: str | None = Field(None, max_length=4096)


class Words:
    """A text that is pushed on one side and iterated on the other, in another thread."""

    def __init__(self) -> None:
        self._pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def push(self, piece: str | None) -> None:
        """A piece; None at the end."""
        self._pieces.put(piece)

    def __iter__(self) -> Iterator[str]:
        while (piece := self._pieces.get()) is not None:
            yield piece


class Session:
    """One connection: at most one text that arrives, and those before it that are still spoken."""

    def __init__(self, socket: WebSocket, service: Service, config: Config) -> None:
        self._socket, self._service, self._config = socket, service, config
        self._words: Words | None = None
        self._speaking: list[tuple[Ticket, asyncio.Task[None]]] = []
        self._turn = asyncio.Lock()  # one after the other
        self._characters = self._texts = 0

    def hear(self, text: str) -> None:
        """Appends to the text that is spoken, or begins one."""
        self._characters += len(text)
        if self._characters > self._service.settings.longest_text:
            raise ApiError(400, "The text is too long for one request: flush it, and go on.", "text", "too_long")
        if self._words is None:
            self._speaking = [(ticket, task) for ticket, task in self._speaking if not task.done()]
            if len(self._speaking) >= _MOST_TEXTS:
                raise ApiError(429, "Too many texts wait to be spoken: wait for audio.done.", code="busy")
            words, config = Words(), self._config
            request = Request(
                words,
                voice=self._service.voice_name(config.voice),
                mode=config.mode,
                instruct=config.instructions or None,
                seed=config.seed + self._texts,
            )
            ticket = self._service.submit(request)
            self._words = words
            self._speaking.append((ticket, asyncio.ensure_future(self._speak(ticket))))
            self._texts += 1
        self._words.push(text)

    def flush(self) -> None:
        """No more of this text comes."""
        if self._words is not None:
            self._words.push(None)
        self._words, self._characters = None, 0

    async def finish(self) -> None:
        """Waits until all is spoken."""
        self.flush()
        for _, task in self._speaking:
            await task

    async def end(self) -> None:
        """Ends all that is spoken."""
        self.flush()
        for ticket, task in self._speaking:
            ticket.cancel()
            task.cancel()
        await asyncio.gather(*(task for _, task in self._speaking), return_exceptions=True)

    async def _speak(self, ticket: Ticket) -> None:
        async with self._turn:
            form = self._config.response_format
            encoder = make_encoder(form, ticket.sample_rate)
            await self._socket.send_json({"type": "audio.start", "sample_rate": ticket.sample_rate, "format": form})
            try:
                async for piece in ticket:
                    await self._send(await run_in_threadpool(encoder.encode, piece))
                await self._send(await run_in_threadpool(encoder.finish))
            except Exception as error:
                await send_error(self._socket, error)
            finally:
                ticket.cancel()
            await self._socket.send_json({"type": "audio.done"})

    async def _send(self, data: bytes) -> None:
        if data:
            await self._socket.send_bytes(data)


@router.websocket("/v1/audio/speech/stream")
async def stream(socket: WebSocket) -> None:
    service = service_of(socket)
    await socket.accept()
    session = None
    try:
        session = await _configured(socket, service)
        await _listen(socket, session, service.settings.idle_seconds)
    except (WebSocketDisconnect, RuntimeError):
        pass  # the client has gone
    except (ApiError, CosyError) as error:
        await send_error(socket, error)
        await socket.close(_POLICY)
    finally:
        if session is not None:
            await session.end()


async def _configured(socket: WebSocket, service: Service) -> Session:
    """The session that the first message asks for; ApiError for one that is none, or without a key."""
    message = await _message(socket, service.settings.idle_seconds)
    keys = service.settings.keys
    given = socket.headers.get("authorization", "").removeprefix("Bearer ") or str(message.get("api_key", ""))
    if keys and not is_key(given, keys):
        raise ApiError(401, "Wrong or missing API key: send it as api_key of session.config.", code="invalid_api_key")
    if message.get("type") != "session.config":
        raise ApiError(400, "A session begins with a message of type session.config.", "type")
    try:
        config = Config(**{name: value for name, value in message.items() if name in Config.model_fields})
    except ValidationError as error:
        first = error.errors()[0]
        raise ApiError(400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}", code="invalid_value") from None
    if config.voice is not None:
        service.find(config.voice)
    return Session(socket, service, config)


async def _listen(socket: WebSocket, session: Session, idle: float) -> None:
    while True:
        message = await _message(socket, idle)
        kind = message.get("type")
        if kind == "input.text":
            session.hear(_text_of(message))
        elif kind == "input.flush":
            session.flush()
        elif kind == "input.done":
            await session.finish()
            await socket.send_json({"type": "session.done"})
            await socket.close(_NORMAL)
            return
        elif kind == "session.close":
            await socket.close(_NORMAL)
            return
        else:
            raise ApiError(400, f"Unknown message type {str(kind)[:40]!r}.", "type")


def _text_of(message: dict[str, Any]) -> str:
    text = message.get("text")
    try:
        if isinstance(text, str) and text.encode():
            return text
    except UnicodeEncodeError:
        pass  # half of a surrogate pair, which JSON can name
    raise ApiError(400, "A message of type input.text brings a text of one character or more.", "text")


async def _message(socket: WebSocket, idle: float) -> dict[str, Any]:
    try:
        message = json.loads(await asyncio.wait_for(socket.receive_text(), idle))
    except TimeoutError:
        raise ApiError(408, f"Nothing was said for {idle:g} s.", code="idle") from None
    except (ValueError, KeyError, RecursionError):
        raise ApiError(400, "A message is a JSON object in a text frame.") from None
    if not isinstance(message, dict):
        raise ApiError(400, "A message is a JSON object in a text frame.")
    return message


async def send_error(socket: WebSocket, error: Exception) -> None:
    """What goes wrong, as a message."""
    await socket.send_json({"type": "error", **json.loads(bytes(answer(error).body))})
