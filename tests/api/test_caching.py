"""The cache seen over HTTP: the same answers, and nothing that ought to be gone."""

from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from in_process import connect_in_process
from odd_files import photo
from redis_server import RedisServer
from stored import data_uri, sha256

ABSENT = "0" * 32
REDIS = pytest.param("redis", marks=pytest.mark.needs("redis"))


@pytest.fixture
def redis() -> Generator[RedisServer]:
    server = RedisServer().start()
    yield server
    server.remove()


@pytest.fixture(params=["memory", REDIS])
async def client(
    request: pytest.FixtureRequest,
) -> AsyncGenerator[httpx2.AsyncClient]:
    """A server with its own cache alone, then one with Redis behind it."""
    changes: dict[str, object] = {}
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis")
        changes["redis"] = server.url
    async with connect_in_process(**changes) as client:
        yield client


async def give(client: httpx2.AsyncClient, seed: int, **fields: str) -> str:
    files = {"file": photo(seed)}
    answer = await client.post("/v1/assets", files=files, data=fields)
    assert answer.status_code in {200, 201}, answer.text
    return str(answer.json()["id"])


async def answer_of(client: httpx2.AsyncClient, path: str, body: Any) -> Any:
    answer = await client.post(path, json=body)
    return answer.status_code, answer.json() | {"took_ms": None, "instance": None}


async def hits(client: httpx2.AsyncClient, image: bytes, **more: Any) -> list[str]:
    body = {"query": {"image": data_uri(image)}, **more}
    answer = await client.post("/v1/search", json=body)
    return [hit["asset"]["id"] for hit in answer.json()["hits"]]


async def figure(client: httpx2.AsyncClient, name: str) -> float:
    lines = (await client.get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name))


async def forwards(client: httpx2.AsyncClient) -> float:
    """How many images the model has computed."""
    return await figure(client, 'dinoserve_images_total{outcome="embedded"}')


async def test_every_answer_is_the_same_the_second_time(
    client: httpx2.AsyncClient,
) -> None:
    one, two = await give(client, 1), await give(client, 2)
    requests = [
        ("/v1/embeddings", {"input": [one, two]}),
        ("/v1/embeddings", {"input": [data_uri(photo(3)), data_uri(photo(3))]}),
        ("/v1/search", {"query": {"asset": one}}),
        ("/v1/search", {"query": {"image": data_uri(photo(4))}}),
        ("/v1/similarity", {"left": [one, two]}),
        ("/v1/embeddings", {"input": ABSENT}),
    ]
    for path, body in requests:
        first = await answer_of(client, path, body)

        assert await answer_of(client, path, body) == first


async def test_bytes_given_before_are_not_computed_again(
    client: httpx2.AsyncClient,
) -> None:
    body = {"input": data_uri(photo(1))}
    await client.post("/v1/embeddings", json=body)
    before = await forwards(client)

    await client.post("/v1/embeddings", json=body)

    assert await forwards(client) == before


async def test_a_bad_image_among_cached_ones_is_named_by_its_place(
    client: httpx2.AsyncClient,
) -> None:
    good, bad = data_uri(photo(1)), data_uri(b"no image")
    await client.post("/v1/embeddings", json={"input": good})

    answer = await client.post("/v1/embeddings", json={"input": [good, good, bad]})

    assert answer.json()["error"]["param"] == "input[2]"


async def test_an_asset_known_to_be_absent_is_there_once_it_is_given(
    client: httpx2.AsyncClient,
) -> None:
    asset = await give(client, 1)
    await client.delete(f"/v1/assets/{asset}")
    for _ in range(2):
        absent = await client.post("/v1/embeddings", json={"input": asset})
        assert absent.status_code == 404

    assert await give(client, 1) == asset

    answer = await client.post("/v1/embeddings", json={"input": asset})
    assert answer.json()["usage"]["total_tokens"] == 0


async def test_a_changed_record_is_shown_at_once(client: httpx2.AsyncClient) -> None:
    asset = await give(client, 1)
    body = {"query": {"image": data_uri(photo(9))}}
    await client.post("/v1/search", json=body)

    await client.patch(f"/v1/assets/{asset}", json={"tags": ["new"]})

    answer = await client.post("/v1/search", json=body)
    assert answer.json()["hits"][0]["asset"]["tags"] == ["new"]


async def test_a_new_asset_is_found_at_once(client: httpx2.AsyncClient) -> None:
    await give(client, 1)
    assert len(await hits(client, photo(9))) == 1

    asset = await give(client, 2)

    assert asset in await hits(client, photo(9))


async def test_a_filter_follows_the_tags_at_once(client: httpx2.AsyncClient) -> None:
    asset = await give(client, 1, tags="hero")
    where = {"filter": {"tags": ["hero"]}}
    assert await hits(client, photo(9), **where) == [asset]

    await client.patch(f"/v1/assets/{asset}", json={"tags": []})

    assert await hits(client, photo(9), **where) == []


async def test_an_erased_asset_is_nowhere(client: httpx2.AsyncClient) -> None:
    asset, other = await give(client, 1), await give(client, 2)
    pair = {"left": [asset], "right": [other]}
    await hits(client, photo(1))
    await client.post("/v1/embeddings", json={"input": asset})
    await client.post("/v1/similarity", json=pair)

    await client.delete(f"/v1/assets/{asset}")

    assert asset not in await hits(client, photo(1))
    for path, body in (("embeddings", {"input": asset}), ("similarity", pair)):
        assert (await client.post(f"/v1/{path}", json=body)).status_code == 404
    assert (await client.get(f"/v1/assets/{asset}")).status_code == 404


async def test_hits_and_misses_are_counted_by_kind(client: httpx2.AsyncClient) -> None:
    asset = await give(client, 1)
    hit = 'dinoserve_cache_hits_total{kind="vector"'
    miss = 'dinoserve_cache_misses_total{kind="vector"'
    for _ in range(3):
        await client.post("/v1/embeddings", json={"input": asset})

    assert (await figure(client, miss), await figure(client, hit)) == (1, 2)


@pytest.mark.needs("redis")
async def test_erasing_an_asset_leaves_nothing_of_it_in_redis(
    redis: RedisServer,
) -> None:
    async with connect_in_process(redis=redis.url) as client:
        asset = await give(client, 1)
        assert await hits(client, photo(9)) == [asset]
        for what in (asset, data_uri(photo(1))):
            await client.post("/v1/embeddings", json={"input": what})
        digest = sha256(photo(1))
        before = b" ".join(redis.everything())
        assert asset.encode() in before
        assert digest.encode() in before

        await client.delete(f"/v1/assets/{asset}")

        left = repr(redis.everything())
        assert asset not in left
        assert digest not in left


@pytest.mark.needs("redis")
async def test_a_second_process_computes_nothing_that_the_first_has(
    redis: RedisServer,
) -> None:
    body = {"input": data_uri(photo(1))}
    async with connect_in_process(redis=redis.url) as first:
        computed = await first.post("/v1/embeddings", json=body)
    async with connect_in_process(redis=redis.url) as second:
        found = await second.post("/v1/embeddings", json=body)

        assert found.json() == computed.json()
        assert await forwards(second) == 0


@pytest.mark.needs("redis")
async def test_an_upload_is_stored_though_redis_remembers_it_of_another_store(
    redis: RedisServer,
) -> None:
    async with connect_in_process(redis=redis.url) as lost:
        asset = await give(lost, 1)
        assert await hits(lost, photo(9)) == [asset]
    async with connect_in_process(redis=redis.url) as empty:
        assert await give(empty, 1) == asset

        listed = (await empty.get("/v1/assets")).json()["assets"]
        assert [each["id"] for each in listed] == [asset]


@pytest.mark.needs("redis")
async def test_everything_in_redis_ends_by_itself(redis: RedisServer) -> None:
    async with connect_in_process(redis=redis.url) as client:
        asset = await give(client, 1)
        await client.post("/v1/embeddings", json={"input": [asset, ABSENT]})
        await hits(client, photo(9))

    with redis.client() as other:
        lasting = [key for key in redis.everything() if other.ttl(key) == -1]
    assert lasting == []


async def test_no_cache_at_all_gives_the_same(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        with_cache, without = [
            await stack.enter_async_context(
                connect_in_process(cache_bytes=size, data=tmp_path / str(size))
            )
            for size in (1_000_000, 0)
        ]
        body = {"input": data_uri(photo(1))}
        for _ in range(2):
            expected = await answer_of(without, "/v1/embeddings", body)
            assert await answer_of(with_cache, "/v1/embeddings", body) == expected
