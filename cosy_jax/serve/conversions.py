"""POST /v1/audio/conversions: what a recording says, in another voice."""

from typing import Annotated

from fastapi import APIRouter, File, Form, UploadFile
from fastapi import Request as HttpRequest
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cosy_jax.serve import speech
from cosy_jax.serve.service import decode
from cosy_jax.serve.speaking import respond

router = APIRouter(tags=["speech"])
_LONGEST = 300.0  # seconds of a source


@router.post("/v1/audio/conversions", response_class=Response, summary="Say what a recording says in another voice")
async def convert(
    http: HttpRequest,
    service: speech.Served,
    audio: Annotated[UploadFile, File(description="What to say, as somebody says it.")],
    voice: Annotated[str, Form(description="A saved voice.")] = "",
    response_format: Annotated[speech.Form, Form()] = "mp3",
    speed: Annotated[float, Form(ge=0.5, le=2.0)] = 1.0,
) -> Response:
    source = await run_in_threadpool(decode, await audio.read(), "The source", _LONGEST)
    name = service.voice_name(voice)
    ticket = service.counted(lambda: service.engine.convert(source, name, whole=speed != 1, speed=speed))
    return await respond(http, ticket, response_format)
