"""The server as an ASGI application."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as StarletteException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from cosy_jax.engine.errors import CancelledError
from cosy_jax.errors import CosyError
from cosy_jax.serve import conversions, speech, status, voices, websocket
from cosy_jax.serve.docs import docs_page
from cosy_jax.serve.errors import ERRORS, ApiError, answer, handle
from cosy_jax.serve.guard import Guard
from cosy_jax.serve.service import Service

LOG = logging.getLogger("cosy_jax.serve")
PAGE = Path(__file__).parent / "page"


def make_app(service: Service, warm: bool = True) -> ASGIApp:
    """The application of a service. It compiles its programs once it runs, and is ready when they are there."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.ensure_future(_warm(service, warm))
        yield
        warming.cancel()
        await run_in_threadpool(service.engine.close, False)

    app = FastAPI(title="cosy_jax", lifespan=lifespan, docs_url=None, redoc_url=None, responses=ERRORS)
    app.state.service = service
    for part in (speech, voices, conversions, status, websocket):
        app.include_router(part.router)
    for error in (ApiError, CosyError, RequestValidationError, StarletteException, HTTPException):
        app.add_exception_handler(error, handle)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, _unexpected)

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(docs_page(app.openapi()))

    if PAGE.is_dir():
        app.mount("/page", StaticFiles(directory=PAGE), name="page")

        @app.get("/", include_in_schema=False)
        def page() -> FileResponse:
            return FileResponse(PAGE / "index.html")

    return Guard(app, service.settings)


async def _warm(service: Service, compiles: bool) -> None:
    with suppress(CancelledError):  # closed meanwhile
        if compiles:
            await run_in_threadpool(service.engine.warm, service.compiled)
        service.ready = True


async def _unexpected(_: object, error: Exception) -> Response:
    LOG.error("a request failed", exc_info=error)
    return answer(error)
