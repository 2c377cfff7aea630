"""Originals from elsewhere, and links that need no key."""

import hashlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from dinoserve.errors import StartUpError
from dinoserve.settings import Settings
from in_process import connect_in_process
from object_servers import clear, fresh_bucket
from odd_files import photo

DATA = photo(1)
SHA256 = hashlib.sha256(DATA).hexdigest()
BASE = "https://cdn.example.org/pictures"
KEY = "q83vASNFZ4mrze8BI0VniavN7wEjRWeJq83vASNFZ4k="


@pytest.fixture
async def bucket_client(tmp_path: Path) -> AsyncGenerator[httpx2.AsyncClient]:
    bucket = fresh_bucket("s3")
    settings = {
        "data": tmp_path,
        "objects": f"s3://{bucket.name}/{bucket.prefix}",
        "s3_endpoint": bucket.endpoint,
        "s3_access_key": bucket.access_key,
        "s3_secret_key": bucket.secret_key,
        "content": "redirect",
    }
    async with connect_in_process(**settings) as client:
        yield client
    await clear(bucket)


async def content_url(client: httpx2.AsyncClient) -> str:
    answer = await client.post("/v1/assets", files={"file": ("a.jpg", DATA)})
    return f"/v1/assets/{answer.json()['id']}/content"


@pytest.mark.needs("s3")
async def test_a_bucket_gives_the_original_itself(
    bucket_client: httpx2.AsyncClient,
) -> None:
    url = await content_url(bucket_client)
    answer = await bucket_client.get(url)
    assert answer.status_code == 307
    assert answer.headers["cache-control"] == "private, max-age=1800"
    async with httpx2.AsyncClient() as http:
        given = await http.get(answer.headers["location"])
    assert (given.status_code, given.content) == (200, DATA)


@pytest.mark.needs("s3")
async def test_a_range_is_kept_on_the_way_to_the_bucket(
    bucket_client: httpx2.AsyncClient,
) -> None:
    wanted = {"range": "bytes=10-19"}
    url = await content_url(bucket_client)
    answer = await bucket_client.get(url, headers=wanted)
    async with httpx2.AsyncClient() as http:
        given = await http.get(answer.headers["location"], headers=wanted)
    assert (given.status_code, given.content) == (206, DATA[10:20])


@pytest.mark.needs("s3")
async def test_a_range_behind_the_end_is_refused_before_the_bucket_is_asked(
    bucket_client: httpx2.AsyncClient,
) -> None:
    url = await content_url(bucket_client)
    answer = await bucket_client.get(url, headers={"range": "bytes=999999-"})
    assert answer.status_code == 416


@pytest.mark.needs("s3")
async def test_headers_and_an_unchanged_copy_need_no_bucket(
    bucket_client: httpx2.AsyncClient,
) -> None:
    url = await content_url(bucket_client)
    head = await bucket_client.head(url)
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(DATA)))
    known = {"if-none-match": head.headers["etag"]}
    assert (await bucket_client.get(url, headers=known)).status_code == 304


@pytest.mark.parametrize("objects", ["memory:", "file:"])
async def test_a_store_without_urls_of_its_own_is_read_through_the_server(
    tmp_path: Path, objects: str
) -> None:
    changes = {"data": tmp_path, "objects": objects, "content": "redirect"}
    async with connect_in_process(**changes) as client:
        answer = await client.get(await content_url(client))
    assert (answer.status_code, answer.content) == (200, DATA)


@pytest.mark.parametrize("base", [BASE, f"{BASE}/"])
async def test_a_public_place_is_named_by_the_key_of_the_original(base: str) -> None:
    async with connect_in_process(content=base) as client:
        url = await content_url(client)
        answer = await client.get(url)
        assert (await client.head(url)).status_code == 200
    key = f"{SHA256[:2]}/{SHA256[2:4]}/{SHA256}"
    assert answer.status_code == 307
    assert answer.headers["location"] == f"{BASE}/{key}"


@pytest.mark.parametrize(
    "base",
    [
        "http://cdn.example.org/",
        "https://",
        "https://user:pw@cdn.example.org/",
        "https://cdn.example.org/?a=b",
        "https://cdn.example.org/#a",
        "https://[x/",
        "cdn.example.org",
        "file:///srv",
        "",
    ],
)
def test_a_place_that_is_not_safe_stops_the_start(base: str) -> None:
    with pytest.raises(ValueError, match="content"):
        Settings.model_validate({"content": base})


def test_this_machine_may_be_a_public_place_without_tls() -> None:
    settings = Settings.model_validate({"content": "http://127.0.0.1:8080"})
    assert settings.content == "http://127.0.0.1:8080/"


async def test_sealed_originals_are_not_said_to_be_public(tmp_path: Path) -> None:
    changes = {"data": tmp_path, "objects": "file:", "objects_key": KEY}
    with pytest.raises(StartUpError, match="DINOSERVE_CONTENT"):
        async with connect_in_process(content=BASE, **changes):
            pass


async def test_a_link_shows_the_original_without_a_key() -> None:
    async with connect_in_process(api_keys="k") as client:
        client.headers["x-api-key"] = "k"
        url = await content_url(client)
        before = datetime.now(UTC).timestamp()
        answer = await client.post(
            url.replace("content", "links"), json={"expires_s": 60}
        )
        link = answer.json()
        del client.headers["x-api-key"]
        assert (await client.get(url)).status_code == 401
        assert (await client.get(link["url"])).content == DATA
        assert (await client.head(link["url"])).status_code == 200
        assert (await client.delete(link["url"])).status_code == 403
        changed = link["url"].replace("expires=1", "expires=2")
        assert (await client.get(changed)).json()["type"] == "/problems/link-refused"
    expires_at = datetime.fromisoformat(link["expires_at"]).timestamp()
    assert 59 <= expires_at - before <= 61


async def test_a_link_may_show_a_rendition_that_is_not_offered(
    client: httpx2.AsyncClient,
) -> None:
    url = await content_url(client)
    asked = {"width": 123, "format": "png"}
    refused = await client.get(url, params=asked)
    link = (await client.post(url.replace("content", "links"), json=asked)).json()
    answer = await client.get(link["url"])
    assert refused.status_code == 403
    assert answer.headers["content-type"] == "image/png"
    assert int.from_bytes(answer.content[16:20], "big") == 123


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"width": 4097}, "width"),
        ({"height": 0}, "height"),
        ({"fit": "cover"}, "width"),
        ({"fit": "stretch", "width": 64}, "fit"),
        ({"format": "png", "width": 64, "quality": 80}, "quality"),
    ],
)
async def test_a_link_to_what_cannot_be_made_is_refused(
    client: httpx2.AsyncClient, asked: dict[str, object], field: str
) -> None:
    url = (await content_url(client)).replace("content", "links")
    answer = await client.post(url, json=asked)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


@pytest.mark.parametrize("seconds", [0, -1, 604_801])
async def test_a_link_ends_within_seven_days(
    client: httpx2.AsyncClient, seconds: int
) -> None:
    url = (await content_url(client)).replace("content", "links")
    answer = await client.post(url, json={"expires_s": seconds})
    assert (answer.status_code, answer.json()["field"]) == (422, "expires_s")


async def test_there_is_no_link_to_an_asset_that_does_not_exist(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.post(f"/v1/assets/{'0' * 32}/links", json={})
    assert answer.json()["type"] == "/problems/asset-not-found"
