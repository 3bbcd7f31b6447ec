"""A ticket's audio as an answer: encoded as it comes, cancelled when the client has gone."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from fastapi import Request as HttpRequest
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cosy_jax.engine.ticket import Ticket
from cosy_jax.serve.encode import FORMATS, make_encoder
from cosy_jax.serve.errors import ApiError, answer

_CLIENT_GONE = 499  # as nginx logs it
TOKENS_A_SECOND = 25
_LOOK = 0.25  # seconds between looks for whether the client is there


@dataclass
class Usage:
    """Tokens, as OpenAI counts them: of the text, and of the speech that it became."""

    input_tokens: int
    output_tokens: int = 0

    def to_dict(self) -> dict[str, int]:
        """With their sum."""
        return asdict(self) | {"total_tokens": self.input_tokens + self.output_tokens}


class _Spoken(StreamingResponse):
    """A stream whose ticket is cancelled however it ends, even before its first bytes are asked for: an iterator that
    never began could not do so."""

    def __init__(self, ticket: Ticket, content: AsyncIterator[bytes | str], **options: Any) -> None:
        super().__init__(content, **options)
        self._ticket = ticket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ticket.cancel()  # of no effect on one that has ended


async def respond(http: HttpRequest, ticket: Ticket, form: str, usage: Usage | None = None) -> Response:
    """The answer, once there is a first piece; what goes wrong before is raised, and has a status of its own. With
    `usage` in server-sent events, which end in it."""
    try:
        pieces = aiter(ticket)
        first = await _first(http, pieces)
    except BaseException:
        ticket.cancel()
        raise
    body = _encoded(ticket, first, pieces, form, usage)
    if usage is not None:
        return _Spoken(ticket, _events(body, usage), media_type="text/event-stream")
    name = f"speech.{form}"
    headers = {"content-disposition": f'inline; filename="{name}"', "x-sample-rate": str(ticket.sample_rate)}
    return _Spoken(ticket, body, media_type=FORMATS[form].media_type, headers=headers)


async def _first(http: HttpRequest, pieces: AsyncIterator[np.ndarray]) -> np.ndarray:
    """The first piece; ApiError where the client did not wait for it."""
    waiting = asyncio.ensure_future(anext(pieces, np.zeros(0, np.float32)))
    try:
        while not (await asyncio.wait({waiting}, timeout=_LOOK))[0]:
            if await http.is_disconnected():
                raise ApiError(_CLIENT_GONE, "The client has gone.")
        return waiting.result()
    finally:
        waiting.cancel()


async def _encoded(
    ticket: Ticket, first: np.ndarray, pieces: AsyncIterator[np.ndarray], form: str, usage: Usage | None
) -> AsyncIterator[bytes]:
    encoder, samples = make_encoder(form, ticket.sample_rate), len(first)
    yield await run_in_threadpool(encoder.encode, first)
    async for piece in pieces:
        samples += len(piece)
        if data := await run_in_threadpool(encoder.encode, piece):
            yield data
    if data := await run_in_threadpool(encoder.finish):
        yield data
    if usage:
        usage.output_tokens = TOKENS_A_SECOND * samples // ticket.sample_rate


async def _events(body: AsyncIterator[bytes], usage: Usage) -> AsyncIterator[str]:
    """Server-sent events as OpenAI's clients read them. What fails on the way is an event too: the status is sent."""
    try:
        async for data in body:
            if data:
                yield _event({"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()})
        yield _event({"type": "speech.audio.done", "usage": usage.to_dict()})
    except Exception as error:
        yield _event({"type": "speech.audio.error", **json.loads(bytes(answer(error).body))})


def _event(content: dict[str, object]) -> str:
    return f"data: {json.dumps(content)}\n\n"
