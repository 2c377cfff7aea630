"""Redis dies, hangs, forgets and lies: no caller notices, nothing wrong is answered."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from typing import Any, cast

import httpx2
import pytest

from dinoserve.adapters import redis_cache
from dinoserve.errors import StartUpError
from in_process import connect_in_process
from odd_files import photo
from redis_server import RedisServer
from stored import data_uri

pytestmark = pytest.mark.needs("redis")


@pytest.fixture
def redis() -> Generator[RedisServer]:
    server = RedisServer().start()
    yield server
    server.remove()


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a test need not wait for the next try."""
    monkeypatch.setattr(redis_cache, "PAUSE_S", 0.01)


@pytest.fixture
async def client(redis: RedisServer) -> AsyncGenerator[httpx2.AsyncClient]:
    # Nothing stays in this process, so that every answer goes through Redis.
    async with connect_in_process(redis=redis.url, cache_bytes=0) as client:
        yield client


async def give(client: httpx2.AsyncClient, seed: int) -> str:
    answer = await client.post("/v1/assets", files={"file": photo(seed)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def embed(client: httpx2.AsyncClient, what: str) -> list[float]:
    answer = await client.post("/v1/embeddings", json={"input": what})
    assert answer.status_code == 200, answer.text
    return cast("list[float]", answer.json()["data"][0]["embedding"])


async def figure(client: httpx2.AsyncClient, name: str) -> float:
    lines = (await client.get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


async def until_up(client: httpx2.AsyncClient, asset: str) -> None:
    """Use the server until Redis answers it again."""
    async with asyncio.timeout(20):
        while await figure(client, "dinoserve_cache_shared_up") != 1:
            await embed(client, asset)
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("fault", ["kill", "flush", "freeze"])
async def test_under_load_every_caller_gets_the_right_vector(
    client: httpx2.AsyncClient,
    redis: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    monkeypatch.setattr(redis_cache, "PAUSE_S", 1)  # each try costs a time-out
    assets = [await give(client, seed) for seed in range(5)]
    right = {asset: await embed(client, asset) for asset in assets}

    async def load() -> None:
        for _ in range(20):
            for asset in assets:
                assert await embed(client, asset) == right[asset]

    callers = [asyncio.create_task(load()) for _ in range(4)]
    await asyncio.sleep(0)
    match fault:
        case "kill":
            redis.kill()
        case "freeze":
            redis.freeze()
        case _:
            with redis.client() as other:
                cast("Any", other).flushall()

    await asyncio.gather(*callers)


async def test_a_killed_redis_is_used_again_once_it_is_back(
    client: httpx2.AsyncClient, redis: RedisServer
) -> None:
    asset = await give(client, 1)
    redis.kill()
    await embed(client, asset)
    assert await figure(client, "dinoserve_cache_shared_up") == 0

    redis.start()
    await until_up(client, asset)
    await embed(client, asset)

    assert any(asset.encode() in key for key in redis.everything())


async def test_a_frozen_redis_costs_one_caller_the_time_out(
    client: httpx2.AsyncClient, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset = await give(client, 1)
    monkeypatch.setattr(redis_cache, "PAUSE_S", 3600)
    redis.freeze()

    async with asyncio.timeout(20):  # 200 times the time-out would be 100 s
        for _ in range(200):
            await embed(client, asset)

    assert await figure(client, "dinoserve_cache_shared_up") == 0


async def test_what_was_erased_while_redis_hung_is_erased_before_it_is_used_again(
    client: httpx2.AsyncClient, redis: RedisServer
) -> None:
    gone, other = await give(client, 1), await give(client, 2)
    await embed(client, gone)
    sha256 = (await client.get(f"/v1/assets/{gone}")).json()["sha256"]
    assert any(gone.encode() in key for key in redis.everything())
    redis.freeze()

    assert (await client.delete(f"/v1/assets/{gone}")).status_code == 204
    redis.thaw()
    await until_up(client, other)

    keys = b" ".join(redis.everything())
    assert gone.encode() not in keys
    assert sha256.encode() not in keys


async def test_too_many_erasures_to_remember_erase_everything(
    client: httpx2.AsyncClient, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_cache, "_MAX_PENDING", 1)
    gone, also, other = [await give(client, seed) for seed in range(3)]
    for asset in (gone, also):
        await embed(client, asset)
    redis.freeze()

    for asset in (gone, also):
        assert (await client.delete(f"/v1/assets/{asset}")).status_code == 204
    redis.thaw()
    await until_up(client, other)

    keys = b" ".join(redis.everything())
    assert gone.encode() not in keys
    assert also.encode() not in keys


def spoil_fields(redis: RedisServer, how: str) -> None:
    """Change every value that is kept, each in this way."""
    with redis.client() as client:
        for key, fields in redis.everything().items():
            if not isinstance(fields, dict):
                continue
            for field, value in cast("dict[bytes, bytes]", fields).items():
                if field:
                    cast("Any", client).hset(key, field, spoilt(value, how))


def spoilt(value: bytes, how: str) -> bytes:
    match how:
        case "flipped":
            return value[:-1] + bytes([value[-1] ^ 1])
        case "truncated":
            return value[:-4]
        case "emptied":
            return value[:13]
        case _:
            return b"9" * 13 + b"\xff\x00 no value of ours"


@pytest.mark.parametrize("how", ["flipped", "truncated", "emptied", "foreign"])
async def test_a_damaged_value_is_a_miss(
    client: httpx2.AsyncClient, redis: RedisServer, how: str
) -> None:
    asset = await give(client, 1)
    right = await embed(client, asset)
    image = await embed(client, data_uri(photo(2)))
    search = {"query": {"asset": await give(client, 3)}}
    hits = (await client.post("/v1/search", json=search)).json()["hits"]

    spoil_fields(redis, how)

    assert await embed(client, asset) == right
    assert await embed(client, data_uri(photo(2))) == image
    assert (await client.post("/v1/search", json=search)).json()["hits"] == hits


async def test_damaged_values_are_counted(
    client: httpx2.AsyncClient, redis: RedisServer
) -> None:
    asset = await give(client, 1)
    await embed(client, asset)
    spoil_fields(redis, "flipped")

    await embed(client, asset)

    assert await figure(client, "dinoserve_cache_refused_total") > 0


async def test_a_value_moved_to_another_asset_is_a_miss(
    client: httpx2.AsyncClient, redis: RedisServer
) -> None:
    one, two = await give(client, 1), await give(client, 2)
    right = await embed(client, two)
    await embed(client, one)
    kept = redis.everything()
    [theirs] = [value for key, value in kept.items() if one.encode() in key]
    [ours] = [key for key in kept if two.encode() in key]

    with redis.client() as other:
        for field, value in cast("dict[bytes, bytes]", theirs).items():
            if field:
                cast("Any", other).hset(ours, field, value)

    assert await embed(client, two) == right


async def test_a_key_of_another_type_is_a_miss_and_is_mended(
    client: httpx2.AsyncClient, redis: RedisServer
) -> None:
    asset = await give(client, 1)
    right = await embed(client, asset)
    [ours] = [key for key in redis.everything() if asset.encode() in key]
    with redis.client() as other:
        other.set(ours, b"no hash")

    assert await embed(client, asset) == right

    assert isinstance(redis.everything()[ours], dict)


async def test_a_full_redis_that_may_not_evict_is_gone_on_without(
    client: httpx2.AsyncClient, redis: RedisServer
) -> None:
    with redis.client() as other:
        cast("Any", other).config_set("maxmemory", 1)

    asset = await give(client, 1)

    assert await embed(client, asset) == await embed(client, asset)


async def test_a_wrong_password_stops_the_start() -> None:
    server = RedisServer("--requirepass", "right").start()
    try:
        with pytest.raises(StartUpError, match=r"DINOSERVE_REDIS.*password") as caught:
            async with connect_in_process(redis=f"{server.url}?password=wrong"):
                pass
    finally:
        server.remove()
    assert "wrong" not in caught.value.detail


async def test_a_redis_that_is_away_does_not_stop_the_start(
    redis: RedisServer,
) -> None:
    redis.kill()

    async with connect_in_process(redis=redis.url) as client:
        asset = await give(client, 1)

        redis.start()
        await until_up(client, asset)


async def test_a_server_stops_while_redis_hangs(redis: RedisServer) -> None:
    async with asyncio.timeout(20):
        async with connect_in_process(redis=redis.url) as client:
            await give(client, 1)
            redis.freeze()
