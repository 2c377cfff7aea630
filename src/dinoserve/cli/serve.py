"""`dinoserve serve`: the server, in this process, until it is told to stop."""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType
from typing import Annotated

import typer
import uvicorn
from fastapi import FastAPI
from rich.console import Console

from dinoserve import __version__
from dinoserve.cli.config import load_settings
from dinoserve.errors import StartUpError
from dinoserve.services import Services
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics, configure_logging
from dinoserve.wiring import check_bind, open_services, web_app

_DRAIN_S = 30
# Longer than proxies keep an idle connection (nginx: 60 s); else some request would go
# into one that is being closed.
_KEEP_ALIVE_S = 75


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; else DINOSERVE_HOST.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port; else DINOSERVE_PORT; 0: any free."),
    ] = None,
) -> None:
    """Start the server."""
    asked = {"host": host, "port": port}
    given = {name: value for name, value in asked.items() if value is not None}
    settings = load_settings(**given)
    configure_logging(settings.log_level)
    try:
        asyncio.run(_serve(settings))
    except StartUpError as error:
        Console(stderr=True).print(
            f"dinoserve cannot start: {error.detail}", markup=False, soft_wrap=True
        )
        raise typer.Exit(2) from error


async def _serve(settings: Settings) -> None:
    check_bind(settings)
    metrics = Metrics()
    with bound_socket(settings) as listener:
        async with open_services(settings, metrics) as services:
            app = web_app(settings, metrics, lambda: _already_open(services))
            server = _Server(server_config(app))
            server.before_exit(services.watching.close)
            server.say_when_ready(_banner(settings, services, listener))
            with _told_if_taken(settings):
                listener.listen()
            await server.serve(sockets=[listener])


def server_config(app: FastAPI) -> uvicorn.Config:
    """Return how the app is served: quietly, to the end of what was begun."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_S,
        timeout_keep_alive=_KEEP_ALIVE_S,
    )


@asynccontextmanager
async def _already_open(services: Services) -> AsyncGenerator[Services]:
    yield services


class _Server(uvicorn.Server):
    """Uvicorn that says when it is ready and leaves ending the process to us."""

    _greeting = ""
    _farewell: Callable[[], None]

    def before_exit(self, farewell: Callable[[], None]) -> None:
        """Have this called when the end is asked for, before answers are waited for."""
        self._farewell = farewell

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._farewell()
        super().handle_exit(sig, frame)

    def say_when_ready(self, text: str) -> None:
        self._greeting = text

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            # What is there now stays: walking through it again and again would cost
            # requests more than a tenth.
            gc.collect()
            gc.freeze()
            print(self._greeting, flush=True)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        # Uvicorn's own version raises the signal again before stores are closed.
        loop = asyncio.get_running_loop()
        wanted = (signal.SIGINT, signal.SIGTERM)
        for number in wanted:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in wanted:
                loop.remove_signal_handler(number)


@contextmanager
def bound_socket(settings: Settings) -> Generator[socket.socket]:
    """Bind before the model is loaded: a port in use should not cost a minute."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with _told_if_taken(settings):
            listener.bind((settings.host, settings.port))
        yield listener


@contextmanager
def _told_if_taken(settings: Settings) -> Generator[None]:
    # Two servers may bind while neither listens: then listening is what fails.
    try:
        yield
    except OSError as error:
        raise StartUpError(
            f"{settings.host}:{settings.port} cannot be listened on:"
            f" {error.strerror or error}. Stop what listens there, or choose"
            " another with --port or DINOSERVE_PORT, of a worker with --health-port."
        ) from error


def _banner(settings: Settings, services: Services, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    card = services.models.card
    lines = [
        f"dinoserve {__version__} is ready on {url}",
        f"  model  {card.recipe.model} ({card.kind})",
        f"  engine {card.engine} on {card.device}, {card.precision}",
        *([f"  note   {card.note}"] if card.note else []),
        f"  data   {settings.data.resolve()}",
        f"  try    .venv/bin/dinoserve ingest ~/Pictures --url {url}",
        f"         .venv/bin/dinoserve search photo.jpg --url {url}",
        f"         curl -F file=@photo.jpg {url}/v1/assets",
        f"  docs   {url}/docs",
    ]
    logging.getLogger(__name__).info("listening on %s", url)
    return "\n".join(lines)
