"""The whole application in this process: real routes and services, stores in memory."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx2
from fastapi import FastAPI

from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import web_app

Connect = Callable[..., AbstractAsyncContextManager[httpx2.AsyncClient]]


def make_app(**changes: object) -> FastAPI:
    """The app on memory stores and the stub, with these settings changed."""
    base: dict[str, object] = {
        "documents": "memory:",
        "objects": "memory:",
        "model": "stub",
    }
    return web_app(Settings.model_validate(base | changes), Metrics())


@asynccontextmanager
async def connect_in_process(**changes: object) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client on an app of its own, with these settings changed."""
    app = make_app(**changes)
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        yield client
