"""POST /v1/audio/speech, as OpenAI's clients call it, and the server of the first ports, POST /synthesize."""

import base64
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from fastapi import Request as HttpRequest
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cosy_jax.audio.read import Waveform
from cosy_jax.serve.errors import ApiError
from cosy_jax.serve.service import Service, decode, service_of
from cosy_jax.serve.speaking import Usage, respond
from cosy_jax.synthesis.request import Request
from cosy_jax.text.normalise import FrontendOptions, Language

router = APIRouter(tags=["speech"])
Form = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]
Served = Annotated[Service, Depends(service_of)]
_SEEDS = 2**62


class NamedVoice(BaseModel):
    """A voice as an object."""

    id: str


class SpeechBody(BaseModel):
    """OpenAI's fields, and ours from `seed` on."""

    model_config = ConfigDict(extra="ignore")

    input: str = Field(min_length=1, description="The text to speak.")
    model: str = Field("", description="Any name; there is one model.")
    voice: str | NamedVoice | None = Field(None, description="A saved voice.")
    instructions: str | None = Field(None, max_length=4096, description="How to speak.")
    response_format: Form = "mp3"
    speed: float = Field(1.0, ge=0.25, le=4.0, description="0.5 to 2; other than 1 is not streamed.")
    stream_format: Literal["audio", "sse"] = "audio"
    seed: int = Field(0, ge=-_SEEDS, le=_SEEDS)
    mode: Literal["zero-shot", "cross-lingual", "instruct"] | None = None
    language: Literal["zh", "en", "other"] | None = None
    prompt_audio: str | None = Field(None, description="A recording in place of a voice, base64.")
    prompt_text: str | None = Field(None, description="What the recording says.")
    stream: bool = Field(True, description="False: the whole at once, as `cosy-jax synthesize` without --stream.")

    @property
    def voice_name(self) -> str | None:
        return self.voice.id if isinstance(self.voice, NamedVoice) else self.voice


class SynthesizeBody(BaseModel):
    """The fields of the first ports' servers."""

    model_config = ConfigDict(extra="ignore")

    text: str = Field(min_length=1)
    prompt_audio: str | None = Field(None, description="Path of a recording, below the folder that the server allows.")
    prompt_text: str | None = None
    speaker: str | None = Field(None, description="A saved voice.")
    speed: float = Field(1.0, ge=0.5, le=2.0)


@router.post("/v1/audio/speech", response_class=Response, summary="Speak a text, while it is computed")
async def speech(body: SpeechBody, http: HttpRequest, service: Served) -> Response:
    service.check_text(body.input)
    recording = None if body.prompt_audio is None else await run_in_threadpool(_decoded, body.prompt_audio)
    request = Request(
        body.input,
        voice=None if recording else service.voice_name(body.voice_name),
        recording=recording,
        transcript=body.prompt_text,
        mode=body.mode,
        instruct=body.instructions or None,
        seed=body.seed,
        speed=body.speed,
        frontend=_frontend(body.language),
    )
    whole = body.speed != 1 or not body.stream
    usage = Usage(service.count_tokens(body.input)) if body.stream_format == "sse" else None
    return await respond(http, service.submit(request, whole), body.response_format, usage)


@router.post("/synthesize", response_class=Response, summary="Speak a text into a WAV file")
async def synthesize(body: SynthesizeBody, http: HttpRequest, service: Served) -> Response:
    service.check_text(body.text)
    recording = None if body.prompt_audio is None else _allowed(body.prompt_audio, service.settings.prompts)
    request = Request(
        body.text,
        voice=None if recording else service.voice_name(body.speaker),
        recording=recording,
        transcript=body.prompt_text if recording else None,
        speed=body.speed,
    )
    return await respond(http, service.submit(request, whole=True), "wav")


def _frontend(language: Language | None) -> FrontendOptions | None:
    return None if language is None else FrontendOptions(language=language)


def _decoded(content: str) -> Waveform:
    try:
        data = base64.b64decode(content, validate=True)
    except ValueError:  # letters outside ASCII are no binascii.Error
        raise ApiError(400, "The recording is not base64.", "prompt_audio", "invalid_value") from None
    return decode(data)


def _allowed(path: str, folder: Path | None) -> Path:
    """The path of a recording; ApiError unless it lies below the folder."""
    if folder is None:
        raise ApiError(403, "This server names no folder of recordings: save a voice.", "prompt_audio", "not_allowed")
    found = (folder / path).resolve()
    if not found.is_relative_to(folder.resolve()):
        raise ApiError(403, "The recording lies outside the server's folder.", "prompt_audio", "not_allowed")
    return found
