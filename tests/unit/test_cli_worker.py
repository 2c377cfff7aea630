"""What a worker is made of: its shift, how it stops, its probes, its unit."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest

from dinoserve.domain.jobs import Message
from dinoserve.errors import StartUpError
from dinoserve.services import Services
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.web.health import create_health_app
from dinoserve.wiring import open_services
from dinoserve.working import (
    Shift,
    _to_the_end,  # pyright: ignore[reportPrivateUsage] - how work stops
    working,
)

SETTINGS = Settings.model_validate(
    {"documents": "memory:", "objects": "memory:", "model": "stub", "job_slots": 0}
)
MESSAGE = Message("note", "0" * 32, 1, 0)
UNIT = Path(__file__).parents[2] / "deploy/systemd/dinoserve-worker.service"


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    async with open_services(SETTINGS, Metrics()) as services:
        yield services


async def test_a_kind_that_does_not_exist_is_refused_with_those_that_do(
    services: Services,
) -> None:
    shift = Shift(1, ["nonsense"])
    with pytest.raises(StartUpError, match=r"'nonsense'; there are .*embed"):
        async with working(services.jobs, shift, SETTINGS, Metrics()):
            pass


async def stopped(grace_s: float, work: asyncio.Event, ended: list[str]) -> None:
    """Cancel a handler that waits for the event, and note how it ended."""
    begun = asyncio.Event()

    async def handle(message: Message) -> None:
        begun.set()
        try:
            await work.wait()
        except asyncio.CancelledError:
            ended.append("given back")
            raise
        ended.append(message.key)

    task = asyncio.ensure_future(_to_the_end(handle, grace_s)(MESSAGE))
    await begun.wait()
    task.cancel()
    if grace_s:
        await asyncio.sleep(0)
        work.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_chunk_may_end_while_its_worker_stops() -> None:
    ended: list[str] = []
    await stopped(60, asyncio.Event(), ended)
    assert ended == [MESSAGE.key]


async def test_without_grace_a_chunk_is_given_back_at_once() -> None:
    ended: list[str] = []
    await stopped(0, asyncio.Event(), ended)
    assert ended == ["given back"]


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/livez", None, 200),
        ("/readyz", None, 200),
        ("/metrics", None, 401),
        ("/metrics", "secret", 200),
        ("/v1/models", "secret", 404),
    ],
)
async def test_probes_are_open_and_figures_ask_for_the_key(
    services: Services, path: str, key: str | None, status: int
) -> None:

    digests = [sha256(b"secret").digest()]
    transport = httpx2.ASGITransport(create_health_app(services, digests, Metrics()))
    headers = {"x-api-key": key} if key else {}
    async with httpx2.AsyncClient(transport=transport, base_url="http://h") as client:
        assert (await client.get(path, headers=headers)).status_code == status


async def test_another_machine_sees_no_figures_where_no_key_is_set(
    services: Services,
) -> None:
    transport = httpx2.ASGITransport(create_health_app(services, [], Metrics()))
    async with httpx2.AsyncClient(transport=transport, base_url="http://h") as client:
        assert (await client.get("/metrics")).json()["type"].endswith("foreign-caller")
        assert (await client.post("/livez")).headers["allow"] == "GET, HEAD"


@pytest.mark.needs("systemd")
def test_systemd_understands_every_line_of_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "dinoserve"  # systemd takes no path with a space in it
    program.symlink_to(Path(sys.executable).with_name("dinoserve"))
    text = UNIT.read_text("utf-8")
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace("/opt/dinoserve/.venv/bin/dinoserve", str(program)))
    command = ["systemd-analyze", "verify", "--man=no", str(copy)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")


def test_the_unit_gives_chunks_time_to_end() -> None:
    [stop_s] = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)
    assert int(stop_s) > 10
