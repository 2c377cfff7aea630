"""`/readyz` with a shared cache or queue: they are told of, and decide nothing."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from in_process import Connect
from redis_server import RedisServer

pytestmark = pytest.mark.needs("redis")


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    server = RedisServer().start()
    yield server
    server.remove()


async def port_of(client: httpx2.AsyncClient, name: str) -> dict[str, Any]:
    answer = await client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["ready"] is True
    [port] = [port for port in answer.json()["ports"] if port["name"] == name]
    return port


async def test_a_shared_cache_that_answers_is_named_with_its_version(
    connect: Connect, redis: RedisServer
) -> None:
    async with connect(redis=redis.url) as client:
        cache = await port_of(client, "cache")
    assert cache["ok"] is True
    assert cache["detail"].startswith("Redis ")


async def test_a_server_without_its_shared_cache_is_ready_and_says_so(
    connect: Connect, redis: RedisServer
) -> None:
    async with connect(redis=redis.url) as client:
        redis.kill()
        cache = await port_of(client, "cache")
    assert cache["ok"] is False
    assert cache["detail"] == "Redis does not answer."


async def test_a_cache_of_the_process_alone_is_not_listed(connect: Connect) -> None:
    async with connect() as client:
        ports = (await client.get("/readyz")).json()["ports"]
    assert "cache" not in {port["name"] for port in ports}


async def test_a_server_without_its_queue_is_ready_and_says_so(
    connect: Connect, redis: RedisServer
) -> None:
    async with connect(queue=redis.url, job_slots=0) as client:
        redis.kill()
        queue = await port_of(client, "queue")
    assert queue["ok"] is False
