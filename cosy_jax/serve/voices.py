"""GET, POST and DELETE /v1/audio/voices: saved voices."""

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, UploadFile
from fastapi import Request as HttpRequest
from starlette.responses import Response

from cosy_jax.serve.speaking import respond
from cosy_jax.serve.speech import Served
from cosy_jax.synthesis.request import Request
from cosy_jax.synthesis.voices import VoiceInfo

router = APIRouter(prefix="/v1/audio/voices", tags=["voices"])
_PREVIEW = "Hello! This is how I sound."


@router.get("", summary="All saved voices")
def voices(service: Served) -> dict[str, Any]:
    found = [_described(voice) for voice in service.voices()]
    # `voices` is what several clients look for, `data` is OpenAI's form of a list.
    return {"object": "list", "data": found, "voices": found}


@router.post("", status_code=201, summary="Save a recording as a voice")
async def save(
    service: Served,
    name: Annotated[str, Form(max_length=200)],
    audio_sample: Annotated[UploadFile, File(description="At most 30 s of one speaker.")],
    ref_text: Annotated[str, Form(max_length=4096, description="What is said in it.")] = "",
    overwrite: Annotated[bool, Form()] = False,
) -> dict[str, Any]:
    return _described(await service.save(name, await audio_sample.read(), ref_text, overwrite))


@router.get("/{name}", summary="One voice")
def voice(name: str, service: Served) -> dict[str, Any]:
    return _described(service.find(name))


@router.get("/{name}/preview", response_class=Response, summary="A sentence in a voice")
async def preview(name: str, http: HttpRequest, service: Served) -> Response:
    found = service.find(name)
    mode = None if found.transcript.strip() else "cross-lingual"
    return await respond(http, service.submit(Request(_PREVIEW, voice=found.name, mode=mode)), "wav")


@router.delete("/{name}", summary="Remove a voice")
def remove(name: str, service: Served) -> dict[str, Any]:
    service.remove(name)
    return {"id": name, "object": "voice", "deleted": True}


def _described(voice: VoiceInfo) -> dict[str, Any]:
    return {
        "id": voice.name,
        "object": "voice",
        "name": voice.name,
        "seconds": voice.seconds,
        "transcript": voice.transcript,
    }
