"""Direct uploads that cannot be: told of clearly, and nothing is left of them."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx2
import pytest

from dinoserve.adapters.memory import MemoryObjects
from dinoserve.errors import StorageFullError
from dinoserve.ports import Contents
from direct_uploads import Running, code, of_bucket, sha256, started
from object_servers import clear, fresh_bucket
from odd_files import photo

DATA = photo(1)
LARGE = photo(2, 40, 30) + bytes(3_000_000)


class FullObjects(MemoryObjects):
    """Objects that have no room."""

    async def put(self, sha256: str, data: Contents) -> None:
        """Store nothing."""
        del sha256, data
        raise StorageFullError("full", port="objects")


@pytest.mark.parametrize("other", [DATA[:-1], DATA + b"x", DATA[:-1] + b"x", b""])
async def test_other_bytes_than_agreed_are_refused_and_not_kept(
    running: Running, other: bytes
) -> None:
    begun = await running.begin(DATA)
    sent = await running.put(begun, other)
    # A bucket takes whatever comes; then it is told at the end.
    answer = sent if sent.status_code == 422 else await running.complete(begun)
    assert (answer.status_code, code(answer)) == (422, "upload-mismatch")
    assert answer.json()["limit"] in {len(DATA), sha256(DATA)}
    assert await running.names() == []
    assert await running.kept() == []


async def test_after_the_wrong_bytes_the_right_ones_may_be_sent(
    running: Running,
) -> None:
    begun = await running.begin(DATA)
    await running.put(begun, DATA[::-1])
    await running.complete(begun)
    await running.put(begun, DATA)
    assert (await running.complete(begun)).status_code == 201


async def test_what_is_no_image_is_refused_and_not_kept(running: Running) -> None:
    begun = await running.sent(b"no image at all")
    answer = await running.complete(begun)
    assert (answer.status_code, code(answer)) == (415, "image-unsupported")
    assert answer.json()["field"] == "upload_id"
    assert await running.names() == []
    assert await running.kept() == []


async def test_a_body_of_unknown_length_is_cut_off_where_it_is_too_long(
    memory: Running,
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            sent.append(1)
            yield bytes(65_536)

    sent: list[int] = []
    begun = await memory.begin(LARGE)
    answer = await memory.put(begun, endless())
    assert (answer.status_code, code(answer)) == (422, "upload-mismatch")
    assert len(sent) * 65_536 <= len(LARGE) + 2 * 65_536
    assert await memory.names() == []


async def test_what_is_too_large_is_refused_before_it_is_sent() -> None:
    async with started(max_image_bytes=1000) as running:
        body = {"sha256": sha256(DATA), "size_bytes": 1001}
        answer = await running.client.post("/v1/uploads", json=body)
    assert (answer.status_code, code(answer)) == (413, "image-too-large")
    told = answer.json()
    assert (told["field"], told["limit"], told["value"]) == ("size_bytes", 1000, 1001)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"sha256": "AB" * 32}, "sha256"),
        ({"sha256": "ab"}, "sha256"),
        ({"size_bytes": 0}, "size_bytes"),
        ({"size_bytes": -1}, "size_bytes"),
        ({"size_bytes": True}, "size_bytes"),
        ({"size_bytes": "7"}, "size_bytes"),
        ({"collection": "a b"}, "collection"),
        ({"tags": [""]}, "tags[0]"),
        ({"metadata": {"n": 2**60}}, "metadata"),
        ({"metadata": {"text": "x" * 4096}}, "metadata"),
        ({"filename": "x" * 256}, "filename"),
        ({"name": "00"}, "name"),
    ],
)
async def test_a_field_that_cannot_be_used_is_named(
    memory: Running, wrong: dict[str, object], field: str
) -> None:
    body = {"sha256": sha256(DATA), "size_bytes": len(DATA)} | wrong
    answer = await memory.client.post("/v1/uploads", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


async def test_an_upload_is_refused_once_its_time_has_passed(memory: Running) -> None:
    begun = await memory.sent(DATA)
    memory.app.state.services = replace(
        memory.app.state.services, uploads=memory.at(seconds=3600)
    )
    answer = await memory.complete(begun)
    assert (answer.status_code, code(answer)) == (403, "link-refused")
    assert await memory.kept() == []


@pytest.mark.parametrize("forged", ["x", "e30.x", "ü", "a" * 8192])
@pytest.mark.parametrize("end", ["complete", "content"])
async def test_an_id_that_was_not_given_here_is_refused(
    memory: Running, forged: str, end: str
) -> None:
    method = "PUT" if end == "content" else "POST"
    url = f"/v1/uploads/{forged}/{end}"
    answer = await memory.client.request(method, url, content=DATA)
    assert (answer.status_code, code(answer)) == (403, "link-refused")
    assert await memory.names() == []


async def test_with_keys_only_the_bytes_need_none() -> None:
    async with started(api_keys="k") as running:
        running.client.headers["x-api-key"] = "k"
        begun = await running.begin(DATA)
        del running.client.headers["x-api-key"]
        plain = begun["url"].split("?")[0]
        assert (await running.client.put(plain, content=DATA)).status_code == 401
        assert (await running.put(begun, DATA)).status_code == 204
        assert (await running.complete(begun)).status_code == 401
        running.client.headers["x-api-key"] = "k"
        assert (await running.complete(begun)).status_code == 201


@pytest.mark.needs("s3")
async def test_a_presigned_url_is_refused_by_the_store_when_its_time_has_passed() -> (
    None
):
    bucket = fresh_bucket("s3")
    async with started(**of_bucket(bucket)) as running:
        url = await running.uploads.incoming.sign("PUT", "a" * 64, 1)
        async with httpx2.AsyncClient() as http:
            answer = await http.put(str(url), content=DATA)
            while answer.is_success:
                answer = await http.put(str(url), content=DATA)
        assert answer.status_code == 403
    await clear(bucket)


async def test_what_came_is_kept_while_there_is_no_room_for_the_asset(
    memory: Running,
) -> None:
    begun = await memory.sent(DATA)
    services = memory.app.state.services
    full = replace(services.assets, objects=FullObjects())
    uploads = replace(services.uploads, assets=full)
    memory.app.state.services = replace(services, uploads=uploads)
    assert (await memory.complete(begun)).status_code == 507
    memory.app.state.services = services
    assert (await memory.complete(begun)).status_code == 201
    assert await memory.names() == []
