"""Direct uploads through the real app, into every kind of store."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from pathlib import Path

import pytest

from dinoserve.adapters.memory import MemoryObjects
from direct_uploads import Running, code, of_bucket, sha256, started
from object_servers import clear, fresh_bucket
from odd_files import photo

DATA = photo(1)
LARGE = photo(2, 40, 30) + bytes(3_000_000)


class TakenObjects(MemoryObjects):
    """Objects that another server completes while they are read."""

    taken_by: Coroutine[object, object, object] | None = None

    async def read(self, sha256: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Let the other server go first, once."""
        if other := self.taken_by:
            self.taken_by = None
            await other
        async for chunk in super().read(sha256, start, stop):
            yield chunk


async def pieces() -> AsyncIterator[bytes]:
    """The large upload as it comes over a network."""
    for start in range(0, len(LARGE), 65_536):
        yield LARGE[start : start + 65_536]


async def test_bytes_sent_straight_to_the_store_become_the_asset_that_was_agreed(
    running: Running,
) -> None:
    begun = await running.sent(
        DATA,
        collection="shots",
        filename="C:\\shots\\a.jpg",
        tags=["hero", "hero", "night"],
        metadata={"scene": "12"},
        subject="actor-7",
    )
    answer = await running.complete(begun)
    asset = answer.json()
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/assets/{asset['id']}"
    assert (asset["sha256"], asset["bytes"]) == (sha256(DATA), len(DATA))
    assert (asset["collection"], asset["filename"]) == ("shots", "a.jpg")
    assert (asset["tags"], asset["subject"]) == (["hero", "night"], "actor-7")
    assert asset["metadata"] == {"scene": "12"}
    assert asset["embeddings"]
    content = await running.client.get(f"/v1/assets/{asset['id']}/content")
    assert content.content == DATA
    assert await running.names() == []


async def test_an_upload_is_the_same_asset_as_one_through_the_front_door(
    memory: Running,
) -> None:
    files = {"file": ("a.jpg", DATA)}
    asset = (await memory.client.post("/v1/assets", files=files)).json()
    answer = await memory.complete(await memory.sent(DATA, tags=["ignored"]))
    assert (answer.status_code, answer.json()) == (200, asset)


async def test_completing_twice_gives_the_same_asset(running: Running) -> None:
    begun = await running.sent(DATA)
    first = await running.complete(begun)
    second = await running.complete(begun)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()


async def test_concurrent_completes_of_one_upload_make_one_asset(
    running: Running,
) -> None:
    begun = await running.sent(DATA)
    answers = await asyncio.gather(*(running.complete(begun) for _ in range(5)))
    assert sorted(each.status_code for each in answers) == [200] * 4 + [201]
    assert len({each.json()["id"] for each in answers}) == 1
    assert await running.names() == []


async def test_who_completes_what_another_server_just_has_gives_the_same_asset(
    memory: Running,
) -> None:
    uploads = replace(memory.uploads, incoming=(incoming := TakenObjects()))
    memory.app.state.services = replace(memory.app.state.services, uploads=uploads)
    begun = await memory.sent(DATA)
    incoming.taken_by = uploads.complete(begun["id"])
    answer = await memory.complete(begun)
    assert (answer.status_code, answer.json()["sha256"]) == (200, sha256(DATA))
    assert await memory.names() == []


async def test_a_large_body_is_not_counted_as_memory() -> None:
    async with started(max_held_bytes=1_500_000) as running:
        begun = await running.begin(LARGE)
        url = begun["url"]
        assert (await running.client.put(url, content=pieces())).status_code == 204


async def test_completing_before_the_bytes_came_tells_that_they_are_missing(
    running: Running,
) -> None:
    begun = await running.begin(DATA)
    early = await running.complete(begun)
    assert (early.status_code, code(early)) == (409, "upload-incomplete")
    await running.put(begun, DATA)
    assert (await running.complete(begun)).status_code == 201


async def test_without_bytes_an_asset_that_lacks_its_embedding_is_not_complete(
    memory: Running,
) -> None:
    files = {"file": ("a.jpg", DATA)}
    stored = await memory.client.post("/v1/assets?embed=false", files=files)
    begun = await memory.begin(DATA)

    early = await memory.complete(begun)
    await memory.put(begun, DATA)
    late = await memory.complete(begun)

    assert not stored.json()["embeddings"]
    assert (early.status_code, code(early)) == (409, "upload-incomplete")
    assert late.json()["embeddings"]


async def test_a_large_upload_arrives_whole(running: Running) -> None:
    begun = await running.sent(LARGE, embed=False)
    answer = await running.complete(begun)
    assert (answer.status_code, answer.json()["bytes"]) == (201, len(LARGE))
    assert answer.json()["embeddings"] == []
    assert await running.kept() == [sha256(LARGE)]


async def test_any_server_with_the_same_key_and_store_completes(tmp_path: Path) -> None:
    bucket = {"data": tmp_path, "objects": "file:"}
    async with started(**bucket) as running:
        begun = await running.sent(DATA)
    async with started(**bucket) as other:
        assert (await other.complete(begun)).status_code == 201


async def test_a_sweep_removes_what_nobody_completes_and_nothing_younger(
    running: Running,
) -> None:
    begun = await running.sent(DATA)
    # Ten minutes beyond an hour; a bucket's clock is another than ours.
    assert await running.at(minutes=69).sweep() == 0
    assert await running.at(minutes=71).sweep() == 1
    assert await running.names() == []
    assert (await running.complete(begun)).status_code == 409


@pytest.mark.needs("moto")
async def test_bytes_come_and_go_through_a_bucket_of_the_quick_server() -> None:
    bucket = fresh_bucket("moto")
    async with started(**of_bucket(bucket)) as running:
        begun = await running.sent(DATA)
        assert begun["url"].startswith(bucket.endpoint)
        assert (await running.complete(begun)).status_code == 201
        assert await running.names() == []
    await clear(bucket)
