"""From settings to a queue, and what a Redis must be to carry it."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from dinoserve.adapters.redis_queue import RedisQueue
from dinoserve.domain.jobs import Message
from dinoserve.errors import StartUpError
from dinoserve.settings import Settings
from dinoserve.stores import open_queue
from dinoserve.telemetry import Metrics
from redis_server import RedisServer

GUIDE = Path(__file__).parents[2] / "docs/deploy/redis.md"
JOB = "0123456789abcdef" * 2


@pytest.fixture
def start() -> Iterator[list[RedisServer]]:
    servers: list[RedisServer] = []
    yield servers
    for server in servers:
        server.remove()


def redis(start: list[RedisServer], *options: str) -> RedisServer:
    start.append(RedisServer(*options).start())
    return start[-1]


async def ping(**settings: object) -> str:
    read = Settings.model_validate(settings)
    async with AsyncExitStack() as stack:
        queue = await open_queue(read, Metrics(), stack)
        return await queue.ping()


async def test_by_default_the_queue_is_a_server_of_its_own(tmp_path: Path) -> None:
    assert (await ping(data=tmp_path)).startswith(("Valkey", "Redis"))
    assert (tmp_path / "queue" / "appendonlydir").is_dir()


async def test_where_nothing_lasts_the_queue_is_in_the_process() -> None:
    assert await ping(documents="memory:", objects="memory:") == "memory"


async def test_without_a_binary_the_queue_is_in_the_process_and_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("dinoserve.adapters.valkey_child.carried_servers", list[str])

    assert await ping(data=tmp_path) == "memory"
    assert "there is no valkey-server" in caplog.text


async def test_memory_may_be_asked_for(tmp_path: Path) -> None:
    assert await ping(data=tmp_path, queue="memory:") == "memory"


@pytest.mark.needs("redis")
async def test_a_redis_may_be_named(start: list[RedisServer], tmp_path: Path) -> None:
    url = redis(start, "--appendonly", "yes").url

    assert (await ping(data=tmp_path, queue=url)).startswith("Redis 7")
    assert not (tmp_path / "queue").exists()


@pytest.mark.parametrize("value", ["", "sqlite:", "embedded:", "http://x", "redis:"])
def test_a_queue_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ValidationError, match="memory:"):
        Settings.model_validate({"queue": value})


def test_a_password_of_the_queue_is_not_shown() -> None:
    url = "redis://me:hunter2@host:6379/1"
    settings = Settings.model_validate({"queue": url})

    assert str(settings.queue) == "redis://host:6379/1"
    assert "hunter2" not in repr(settings)


@pytest.mark.needs("redis")
@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
async def test_a_redis_that_may_evict_the_queue_stops_the_start(
    start: list[RedisServer], policy: str
) -> None:
    url = redis(start, "--maxmemory-policy", policy).url

    with pytest.raises(StartUpError, match=f"{policy}.*DINOSERVE_REDIS") as caught:
        await ping(queue=url)
    assert "noeviction" in caught.value.detail


@pytest.mark.needs("redis")
@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru"])
async def test_a_redis_that_keeps_the_queue_is_taken(
    start: list[RedisServer], policy: str
) -> None:
    url = redis(start, "--maxmemory-policy", policy).url

    assert await ping(queue=url)


@pytest.mark.needs("redis")
async def test_a_redis_without_a_log_of_writes_is_told_of(
    start: list[RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    await ping(queue=redis(start).url)

    assert "appendonly" in caplog.text


@pytest.mark.needs("redis")
async def test_a_wrong_password_of_the_queue_stops_the_start(
    start: list[RedisServer],
) -> None:
    url = redis(start, "--requirepass", "right").url

    with pytest.raises(StartUpError, match=r"DINOSERVE_QUEUE.*password") as caught:
        await ping(queue=f"{url}?password=wrong")
    assert "wrong" not in caught.value.detail


@pytest.mark.needs("redis")
async def test_the_user_of_the_guide_may_send_and_work(
    start: list[RedisServer],
) -> None:
    server = redis(start)
    guide = GUIDE.read_text()
    [rule] = [line for line in guide.splitlines() if line.startswith("ACL SETUSER")]
    with server.client() as admin:
        cast("Any", admin).execute_command(*rule.replace("PASSWORD", "secret").split())
    came = asyncio.Event()

    async def work(message: Message) -> None:
        del message
        came.set()

    url = server.url.replace("unix://", "unix://dinoserve:secret@")
    async with (
        asyncio.timeout(10),
        RedisQueue.open(url, Metrics()) as queue,
        queue.serve(["embed"], work, 1),
    ):
        await queue.send([(Message("embed", JOB, 1, 0), datetime.now(UTC))])
        await came.wait()

        assert await queue.lengths() in ({"embed": 1}, {})


@pytest.mark.parametrize(
    "message",
    [
        Message("Embed", JOB, 1, 0),
        Message("embed:x", JOB, 1, 0),
        Message("embed", "short", 1, 0),
        Message("embed", JOB, -2, 0),
        Message("embed", JOB, 1, -1),
        Message("embed", JOB, True, 0),
    ],
)
@pytest.mark.needs("redis")
async def test_what_could_not_be_read_again_is_not_sent(
    start: list[RedisServer], message: Message
) -> None:
    async with RedisQueue.open(redis(start).url, Metrics()) as queue:
        with pytest.raises(ValueError, match="no message"):
            await queue.send([(message, datetime.now(UTC))])

        assert await queue.lengths() == {}
