"""What every request passes before it is answered: its size, where it comes from, its key; and the line in the log."""

import contextlib
import hmac
import json
import logging
import time
import uuid
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cosy_jax.serve.errors import ApiError, answer
from cosy_jax.serve.settings import LOOPBACK, ServeSettings

ACCESS = logging.getLogger("cosy_jax.access")
_OPEN_PATHS = ("/health", "/ready", "/", "/favicon.ico")  # to anybody, with what lies under /page
_PAGE = "/page/"
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; media-src blob:; worker-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# no-cache: a browser asks whether its copy is still the newest, or an update would mix old modules with new ones.
_PAGE_HEADERS = ((b"content-security-policy", _POLICY.encode()), (b"cache-control", b"no-cache"))


class Guard:
    """An ASGI application around the server's."""

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        began, identity, headers = time.perf_counter(), uuid.uuid4().hex, Headers(scope=scope)
        scope.setdefault("state", {})["request_id"] = identity
        seen = {"status": 0, "bytes": 0, "too_large": 0}
        of_page = scope["path"] == "/" or scope["path"].startswith(_PAGE)

        async def sending(message: Message) -> None:
            if seen["too_large"] and not seen["status"]:
                return  # whatever the application makes of a body that was cut off
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                extra = [(b"x-request-id", identity.encode()), *_HEADERS, *(_PAGE_HEADERS if of_page else ())]
                message["headers"] = [*message.get("headers", []), *extra]
            elif message["type"] == "http.response.body":
                seen["bytes"] += len(message.get("body", b""))
            elif message["type"] in ("websocket.accept", "websocket.close"):
                seen["status"] = seen["status"] or (101 if message["type"] == "websocket.accept" else 403)
            await send(message)

        try:
            self._check(scope, headers)
            await self._app(scope, self._bounded(receive, headers, seen), sending)
            if seen["too_large"] and not seen["status"]:
                seen["too_large"] = 0
                await answer(self._too_large())(scope, receive, sending)
        except ApiError as error:
            seen["too_large"] = 0
            if scope["type"] == "http":
                await answer(error)(scope, receive, sending)
            else:
                await sending({"type": "websocket.close", "code": 1008, "reason": str(error)[:120]})
        finally:
            _log(scope, identity, seen, time.perf_counter() - began)

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Raises for what is not let in."""
        self._check_origin(headers)
        path = scope["path"]
        open_to_all = path in _OPEN_PATHS or path.startswith(_PAGE)
        # A browser's WebSocket cannot send the header: it brings its key in the first message.
        if self._settings.keys and not open_to_all and scope["type"] == "http":
            scheme, _, key = headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not is_key(key, self._settings.keys):
                raise ApiError(
                    401, "Wrong or missing API key: send 'Authorization: Bearer KEY'.", code="invalid_api_key"
                )

    def _check_origin(self, headers: Headers) -> None:
        """Other sites' pages may not use a browser to get in, nor a name of their own for the loopback address."""
        host = headers.get("host", "")
        name = host.rsplit(":", 1)[0].strip("[]") if not host.endswith("]") else host.strip("[]")
        if self._settings.host in LOOPBACK and name not in LOOPBACK:
            raise ApiError(403, "This server answers on the loopback address only.", code="wrong_host")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            raise ApiError(403, "Pages of other sites may not use this server.", code="wrong_origin")

    def _bounded(self, receive: Receive, headers: Headers, seen: dict[str, int]) -> Receive:
        """`receive`, which raises once a body is larger than it may be, whatever its header says."""
        got = 0
        with contextlib.suppress(ValueError):
            if int(headers.get("content-length", 0)) > self._settings.largest_body:
                raise self._too_large()

        async def receiving() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b"") or b"")
            if got > self._settings.largest_body:
                seen["too_large"] = 1
                raise self._too_large()
            return message

        return receiving

    def _too_large(self) -> ApiError:
        return ApiError(413, f"The request is larger than {self._settings.largest_body >> 20} MiB.", code="too_large")


def is_key(given: str, keys: Iterable[str]) -> bool:
    """Whether it is one of the keys; it takes as long for a wrong one as for a right one."""
    return any([hmac.compare_digest(given.encode("utf-8", "surrogatepass"), key.encode()) for key in keys])


def _log(scope: Scope, identity: str, seen: dict[str, int], seconds: float) -> None:
    """One line of JSON. No text, no key, no query."""
    entry = {
        "id": identity,
        "client": (scope.get("client") or ("",))[0],
        "method": scope.get("method", "WS"),
        "path": scope["path"],
        "status": seen["status"],
        "bytes": seen["bytes"],
        "seconds": round(seconds, 3),
    }
    ACCESS.info(json.dumps(entry))
