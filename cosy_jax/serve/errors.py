"""Errors as OpenAI's clients read them: {"error": {"message", "type", "param", "code"}}."""

import math
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from cosy_jax.engine.errors import BusyError
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.speech import NotFiniteError

# What clients call the fields of our request.
_PARAMS = {"text": "input", "instruct": "instructions", "recording": "prompt_audio", "transcript": "prompt_text"}


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """What every answer but a good one holds."""

    error: ErrorDetail


# For the interface's description.
ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorBody, "description": "What was asked cannot be done; 429: come back later."},
    "5XX": {"model": ErrorBody, "description": "The server failed."},
}


class ApiError(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.param, self.code = status, param, code


def body(message: str, kind: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    plain = message.encode(errors="replace").decode()  # what it quotes may hold half of a surrogate pair
    return {"error": {"message": plain, "type": kind, "param": param, "code": code}}


def kind_of(status: int) -> str:
    """OpenAI's name for the errors of a status."""
    names = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
    return names.get(status, "invalid_request_error" if status < 500 else "server_error")


def answer(error: Exception) -> JSONResponse:
    """What a client is told. What is no fault of the request says nothing about the machine."""
    status, message = 500, "The server failed; its log says why."
    param: str | None = None
    code: str | None = "internal_error"
    headers: dict[str, str] = {}
    if isinstance(error, BusyError):
        status, message, code = 429, str(error), "busy"
        headers["retry-after"] = str(math.ceil(error.seconds))
    elif isinstance(error, ApiError):
        status, message, param, code = error.status, str(error), error.param, error.code
    elif isinstance(error, NotFiniteError):
        message, code = str(error), "not_finite"
    elif isinstance(error, CosyError):
        status, message, code = 400, str(error), "invalid_value"
        param = _PARAMS.get(error.fields[0], error.fields[0]) if error.fields else None
    elif isinstance(error, RequestValidationError):
        first = error.errors()[0]
        status, code = 422 if first["type"] == "json_invalid" else 400, "invalid_value"
        param = ".".join(str(part) for part in first["loc"][1:]) or None
        message = f"{param or 'body'}: {first['msg']}"
    elif isinstance(error, HTTPException):
        status, message, code = error.status_code, str(error.detail), None
        headers.update(error.headers or {})
    return JSONResponse(body(message, kind_of(status), param, code), status, headers)


async def handle(_: Request, error: Exception) -> JSONResponse:
    """For FastAPI's exception handlers."""
    return answer(error)
