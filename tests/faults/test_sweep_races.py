"""Two servers and a collector on the same bytes: nothing acknowledged is ever lost.

Real processes on a MongoDB-wire server and a bucket. The collector's clock is two hours
ahead, so that to it everything stored is old enough to go.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from dinoserve.adapters.mongo import MongoDocuments
from dinoserve.adapters.objects import Bucket, S3Objects
from dinoserve.ports import ObjectStore
from dinoserve.services.losses import LossService
from dinoserve.services.orphans import OrphanService
from odd_files import photo
from servers import Server, running
from stored import listed, sha256, upload, uploaded

pytestmark = [pytest.mark.needs("mongodb"), pytest.mark.needs("moto")]

ROUNDS = 12
PICTURES = [photo(seed, 64, 48) for seed in range(2)]
DIGESTS = {sha256(data) for data in PICTURES}


@pytest.fixture
def servers(tmp_path: Path, production: dict[str, str]) -> Iterator[list[Server]]:
    # Both look all the time.
    env = production | {"DINOSERVE_COLLECT_HOURS": "0.00005"}
    with ExitStack() as stack:
        yield [
            stack.enter_context(running(tmp_path / name, **env))
            for name in ("one", "other")
        ]


@pytest.fixture
async def orphans(mongodb: str, bucket: Bucket) -> AsyncIterator[OrphanService]:
    async with AsyncExitStack() as stack:
        documents = await stack.enter_async_context(MongoDocuments.open(mongodb))
        originals: ObjectStore = await S3Objects.open(bucket)
        nothing = await S3Objects.open(
            replace(bucket, prefix=f"{bucket.prefix}/derived")
        )
        yield OrphanService(
            documents,
            {"originals": originals, "derived": nothing, "incoming": nothing},
            lambda: datetime.now(UTC) + timedelta(hours=2),
        )


def told(_what: str, _count: int) -> None:
    """Hear how far it is, and say nothing."""


async def collect(orphans: OrphanService) -> int:
    found = await orphans.find(told)
    names = found.names["originals"]
    return sum([await orphans.remove("originals", name) for name in names])


def give_and_erase(server: Server, collection: str) -> int:
    """Give the pictures and erase them over and over; what is given must be there."""
    checked = 0
    with server.client() as client:
        for number in range(ROUNDS):
            data = PICTURES[number % len(PICTURES)]
            key = insist(client, data, collection)
            content = client.get(f"/v1/assets/{key}/content")
            assert content.status_code == 200, content.text
            assert content.content == data
            checked += 1
            assert client.delete(f"/v1/assets/{key}").status_code == 204
    return checked


def insist(client: httpx2.Client, data: bytes, collection: str) -> str:
    """Give the picture, again while it is told that the same bytes are being erased."""
    while True:
        answer = upload(client, data, collection=collection)
        if answer.status_code == 201:
            return str(answer.json()["id"])
        assert answer.status_code == 503, answer.text
        assert "erased" in answer.text, answer.text


@pytest.mark.timeout(300)
async def test_bytes_that_are_given_and_erased_at_once_everywhere_are_never_lost(
    servers: list[Server], orphans: OrphanService
) -> None:
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(4) as callers:
        clients = [
            loop.run_in_executor(callers, give_and_erase, server, f"c{number}")
            for number, server in enumerate(servers * 2)
        ]
        everybody = asyncio.gather(*clients)
        looks = 0
        while not everybody.done():
            await collect(orphans)
            looks += 1
        assert await everybody == [ROUNDS] * 4
    assert looks > 1, "nobody collected meanwhile: this test shows nothing"


@pytest.mark.timeout(300)
async def test_what_is_kept_has_its_bytes_and_no_byte_is_left_over(
    servers: list[Server], orphans: OrphanService
) -> None:
    with servers[0].client() as one, servers[1].client() as other:
        kept = {uploaded(one, PICTURES[0], collection="kept")}
        for _ in range(ROUNDS):
            for client in (one, other):
                key = uploaded(client, PICTURES[0], collection="going")
                gone = uploaded(client, PICTURES[1], collection="going")
                assert await collect(orphans) == 0
                for each in (key, gone):
                    assert client.delete(f"/v1/assets/{each}").status_code == 204
        assert listed(other).keys() == kept
    for server in servers:
        server.kill()

    alone = replace(orphans, grace_s=0)
    await collect(alone)

    stored = (await alone.find(told)).stored
    assert stored.sizes(sorted(DIGESTS)).count(None) == 1
    assert len(stored) == 1
    assert (await LossService(alone).find(stored, told)).assets == []


async def test_bytes_without_a_record_go_while_servers_run(
    servers: list[Server], orphans: OrphanService
) -> None:
    originals = orphans.areas["originals"]
    await originals.put(sha256(b"orphan"), b"orphan")
    with servers[0].client() as client:
        key = uploaded(client, PICTURES[0])
        assert await collect(orphans) == 1
        assert client.get(f"/v1/assets/{key}/content").content == PICTURES[0]
    assert await originals.size(sha256(b"orphan")) is None
