"""`dinoserve worker`: works on the jobs of a server, until it is told to stop."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from typing import Annotated

import typer
import uvicorn

from dinoserve.cli.client import run
from dinoserve.cli.config import load_settings
from dinoserve.cli.serve import bound_socket, server_config
from dinoserve.domain.jobs import LIVE
from dinoserve.errors import StartUpError, UnavailableError
from dinoserve.ports import JobQuery
from dinoserve.services import Services
from dinoserve.services.jobs import JobService
from dinoserve.setting_values import key_digest
from dinoserve.settings import Settings
from dinoserve.stores import check_kept, mongodb_url, survey_documents
from dinoserve.telemetry import Metrics, configure_logging
from dinoserve.web.health import create_health_app
from dinoserve.wiring import check_bind, open_services
from dinoserve.working import Shift, working

_LOOK_S = 0.5
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_log = logging.getLogger(__name__)


def worker(  # noqa: PLR0913, PLR0917 - every option is an argument
    concurrency: Annotated[
        int, typer.Option(min=1, max=64, help="Chunks of jobs at a time.")
    ] = 2,
    kinds: Annotated[
        list[str] | None,
        typer.Option(help="Only jobs of this kind; may be repeated."),
    ] = None,
    drain: Annotated[
        bool, typer.Option("--drain", help="End once no such job is left.")
    ] = False,
    grace: Annotated[
        float,
        typer.Option(min=0, help="Seconds that chunks have to end in when it stops."),
    ] = 10.0,
    health_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Answer /livez, /readyz and /metrics; 0: any free."
        ),
    ] = None,
    health_host: Annotated[
        str, typer.Option(help="Address that --health-port is listened on.")
    ] = "127.0.0.1",
    name: Annotated[
        str, typer.Option(help="What it is called in jobs; else the machine's name.")
    ] = "",
) -> None:
    """Work on jobs, beside a server and other workers."""
    settings = load_settings()
    configure_logging(settings.log_level)
    shift = Shift(concurrency, kinds or (), name, grace)
    asked = {"host": health_host, "port": health_port}
    probed = None if health_port is None else settings.model_copy(update=asked)
    run(_run(settings, shift, probed, drain=drain))


async def _run(
    settings: Settings, shift: Shift, probed: Settings | None, *, drain: bool
) -> int:
    await _check_stores(settings)
    metrics, stop = Metrics(), asyncio.Event()
    with _stopped_by_signals(stop), ExitStack() as stack:
        listener = None
        if probed:
            check_bind(probed)
            listener = stack.enter_context(bound_socket(probed))
        async with (
            open_services(settings, metrics, "worker") as services,
            _probed(services, settings, metrics, listener),
            working(services.jobs, shift, settings, metrics),
        ):
            print(_greeting(services, shift, listener), flush=True)
            await _until_stopped(stop, services.jobs, shift.kinds, drain=drain)
            _log.info(
                "no further chunk is begun; those at work have %g s", shift.grace_s
            )
    _log.info("stopped")
    return 0


async def _check_stores(settings: Settings) -> None:
    """Pass if a server has made the stores, and their layout is this version's.

    Raises:
        StartUpError: what to do.
    """
    check_kept(settings)
    if mongodb_url(settings):  # servers of two versions may share it
        return
    survey = await survey_documents(settings)
    if survey.pending:
        raise StartUpError(
            f"The database is of another version ({survey.about}): start the server of"
            " this version first, or run `dinoserve migrate`."
        )


@contextmanager
def _stopped_by_signals(stop: asyncio.Event) -> Generator[None]:
    """Set the event at the first signal; end the process at the second.

    Nothing is lost by that: the jobs are kept, and others take over after the lease.
    """
    loop = asyncio.get_running_loop()

    def obey(number: signal.Signals) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, obey, number)
    try:
        yield
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


async def _until_stopped(
    stop: asyncio.Event, jobs: JobService, kinds: Sequence[str], *, drain: bool
) -> None:
    """Wait for a signal, or with `drain` until no job of these kinds is left."""
    while not stop.is_set():
        if drain and not await _is_work_left(jobs, kinds):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_S if drain else None):
                await stop.wait()


async def _is_work_left(jobs: JobService, kinds: Sequence[str]) -> bool:
    try:
        for kind in kinds or [None]:
            if await jobs.find(JobQuery(states=LIVE, kind=kind, limit=1)):
                return True
    except UnavailableError as error:
        _log.warning("whether jobs are left is not known: %s", error.detail)
        return True
    return False


@asynccontextmanager
async def _probed(
    services: Services,
    settings: Settings,
    metrics: Metrics,
    listener: socket.socket | None,
) -> AsyncGenerator[None]:
    """Answer probes during the block, if there is where."""
    if listener is None:
        yield
        return
    digests = [key_digest(key) for key in settings.api_keys]
    server = _Probes(server_config(create_health_app(services, digests, metrics)))
    listener.listen()
    answering = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await answering


class _Probes(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield  # signals are the worker's


def _greeting(services: Services, shift: Shift, listener: socket.socket | None) -> str:
    card = services.models.card
    place = " elsewhere" if card.details.get("remote") else ""
    lines = [
        f"dinoserve worker is ready: {', '.join(shift.kinds or services.jobs.kinds)}",
        f"  chunks {shift.slots} at a time",
        f"  engine {card.engine} on {card.device}{place}, {card.recipe.model}",
    ]
    if listener:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        lines.append(f"  health http://{shown}:{port}/readyz")
    return "\n".join(lines)
