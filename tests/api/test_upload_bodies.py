"""Large uploads over HTTP: on the disk while in work, counted there, then gone."""

import io
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from in_process import Connect
from spools import spools
from upload_crowd import large_photo

LARGE = b"".join(large_photo(1, 2_000_000))
LARGER = b"".join(large_photo(2, 3_000_000))


async def upload(
    client: httpx2.AsyncClient, data: bytes, **fields: Any
) -> httpx2.Response:
    files = {"file": io.BytesIO(data)}  # a file, so that it is sent in pieces
    return await client.post("/v1/assets", files=files, data=fields)


async def test_a_large_upload_takes_little_of_the_memory_for_bodies(
    connect: Connect,
) -> None:
    async with connect(max_held_bytes=500_000) as client:
        answer = await upload(client, LARGE)
        content = await client.get(f"/v1/assets/{answer.json()['id']}/content")
    assert answer.status_code == 201
    assert content.content == LARGE


async def test_a_large_upload_that_hides_its_length_takes_little_too(
    connect: Connect,
) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"'
        yield b"\r\n\r\n"
        for start in range(0, len(LARGE), 50_000):
            yield LARGE[start : start + 50_000]
        yield b"\r\n--x--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=x"}
    async with connect(max_held_bytes=500_000) as client:
        answer = await client.post("/v1/assets", content=body(), headers=headers)
    assert answer.status_code == 201
    assert answer.json()["bytes"] == len(LARGE)


async def test_files_that_are_embedded_only_count_as_memory(connect: Connect) -> None:
    async with connect(max_held_bytes=500_000) as client:
        files = {"file": io.BytesIO(LARGE)}
        answer = await client.post("/v1/embeddings", files=files)
    assert answer.status_code == 429
    assert "DINOSERVE_MAX_HELD_BYTES" in answer.json()["error"]["message"]


async def test_the_disk_for_uploads_is_bounded_and_free_again_after_each(
    connect: Connect,
) -> None:
    async with connect(max_spooled_bytes=2_500_000) as client:
        refused = await upload(client, LARGER)
        kept = [await upload(client, LARGE, collection=name) for name in "abc"]
    assert refused.status_code == 429
    assert refused.json()["type"] == "/problems/overloaded"
    assert "DINOSERVE_MAX_SPOOLED_BYTES" in refused.json()["detail"]
    assert [answer.status_code for answer in kept] == [201] * 3


@pytest.mark.parametrize(
    ("files", "fields", "status"),
    [
        ([("file", LARGE)], {}, 201),
        ([("file", LARGE[1000:])], {}, 415),
        ([("file", LARGE[:-1000])], {}, 422),
        ([("file", LARGE)], {"metadata": "{"}, 422),
        ([("file", LARGE)], {"unknown": "1"}, 422),
        ([("image", LARGE)], {}, 422),
        ([("file", LARGE), ("file", LARGE)], {}, 422),
    ],
    ids=["kept", "no image", "cut", "metadata", "field", "name", "two files"],
)
async def test_no_file_is_left_after_the_answer(
    client: httpx2.AsyncClient,
    files: list[tuple[str, bytes]],
    fields: dict[str, str],
    status: int,
) -> None:
    before = spools()
    answer = await client.post("/v1/assets", files=files, data=fields)
    assert answer.status_code == status, answer.text
    assert spools() == before
