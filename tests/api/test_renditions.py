"""Renditions over HTTP: sizes, formats, caching, what is refused, what links allow."""

import asyncio
import io
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from dinoserve.domain.renditions import Format
from in_process import Connect
from object_servers import clear, fresh_bucket, keys
from odd_files import encoded, photo

ALL: tuple[Format, ...] = ("avif", "webp", "jpeg", "png")
CHROME = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
SAFARI = (
    "image/webp,image/avif,image/jxl,video/*;q=0.8,image/png,image/*;q=0.8,*/*;q=0.5"
)
FIREFOX_65 = "image/webp,*/*"
RENDER = 'dinoserve_stage_seconds_count{stage="render"}'


async def give(client: httpx2.AsyncClient, data: bytes) -> str:
    answer = await client.post("/v1/assets", files={"file": data})
    assert answer.status_code in {200, 201}, answer.text
    return f"/v1/assets/{answer.json()['id']}/content"


@pytest.fixture
async def url(client: httpx2.AsyncClient) -> str:
    return await give(client, photo(1))


async def drawings(client: httpx2.AsyncClient) -> float:
    lines = (await client.get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(RENDER))


def size_of(answer: httpx2.Response) -> tuple[int, int]:
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.content)) as image:
        return image.size


def derived(data: Path) -> list[str]:
    return [each.name for each in (data / "derived").rglob("*") if each.is_file()]


@pytest.mark.parametrize(
    ("query", "size"),
    [
        ("width=256", (256, 192)),
        ("height=256", (341, 256)),
        ("width=1024", (500, 375)),
        ("width=1024&fit=contain", (1024, 768)),
        ("width=256&height=64", (85, 64)),
        ("width=256&height=64&fit=cover", (256, 64)),
    ],
)
async def test_every_fit_has_its_size(
    client: httpx2.AsyncClient, url: str, query: str, size: tuple[int, int]
) -> None:
    assert size_of(await client.get(f"{url}?{query}")) == size


async def test_without_parameters_the_original_is_sent(
    client: httpx2.AsyncClient, url: str
) -> None:
    answer = await client.get(url)

    assert answer.content == photo(1)
    assert "vary" not in answer.headers


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [(CHROME, "image/avif"), (FIREFOX_65, "image/webp"), ("*/*", "image/jpeg")],
)
async def test_an_automatic_format_varies_by_accept(
    client: httpx2.AsyncClient, url: str, accept: str, media_type: str
) -> None:
    answer = await client.get(f"{url}?width=64", headers={"accept": accept})

    assert answer.headers["content-type"] == media_type
    assert answer.headers["vary"] == "accept"


async def test_a_transparent_picture_is_a_png_to_who_names_nothing(
    client: httpx2.AsyncClient,
) -> None:
    clear = encoded(Image.new("RGBA", (90, 90), (1, 2, 3, 100)), "PNG")
    url = await give(client, clear)

    for _ in "12":  # made, then kept
        answer = await client.get(f"{url}?width=64")
        assert answer.headers["content-type"] == "image/png"


@pytest.mark.parametrize("format_", ALL)
async def test_a_format_asked_for_by_name_is_sent_to_everybody(
    client: httpx2.AsyncClient, url: str, format_: Format
) -> None:
    answer = await client.get(
        f"{url}?width=64&format={format_}", headers={"accept": "text/html"}
    )

    assert answer.headers["content-type"] == f"image/{format_}"
    assert "vary" not in answer.headers


async def test_a_rendition_may_be_cached_for_ever_as_the_original(
    client: httpx2.AsyncClient, url: str
) -> None:
    original = await client.get(url)
    answer = await client.get(f"{url}?width=64")

    for name in (
        "cache-control",
        "accept-ranges",
        "x-content-type-options",
        "content-security-policy",
    ):
        assert answer.headers[name] == original.headers[name]
    assert answer.headers["etag"] != original.headers["etag"]
    assert not answer.headers["etag"].startswith("W/")


async def test_a_copy_that_is_right_is_not_sent_again(
    client: httpx2.AsyncClient, url: str
) -> None:
    first = await client.get(f"{url}?width=64")
    before = await drawings(client)

    again = await client.get(
        f"{url}?width=64", headers={"if-none-match": first.headers["etag"]}
    )
    other = await client.get(
        f"{url}?width=128", headers={"if-none-match": first.headers["etag"]}
    )

    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["vary"] == "accept"
    assert again.headers["etag"] == first.headers["etag"]
    assert other.status_code == 200
    assert await drawings(client) == before + 1


async def test_one_range_is_sent(client: httpx2.AsyncClient, url: str) -> None:
    whole = (await client.get(f"{url}?width=256")).content

    part = await client.get(f"{url}?width=256", headers={"range": "bytes=10-99"})
    beyond = await client.get(f"{url}?width=256", headers={"range": "bytes=9999999-"})

    assert (part.status_code, part.content) == (206, whole[10:100])
    assert part.headers["content-range"] == f"bytes 10-99/{len(whole)}"
    assert beyond.status_code == 416


async def test_head_tells_what_get_would_send(
    client: httpx2.AsyncClient, url: str
) -> None:
    head = await client.head(f"{url}?width=64")
    get = await client.get(f"{url}?width=64")

    assert (head.status_code, head.content) == (200, b"")
    own = {"x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in own} == {
        k: v for k, v in get.headers.items() if k not in own
    }


async def test_a_rendition_is_made_once(client: httpx2.AsyncClient, url: str) -> None:
    asking = [client.get(f"{url}?width=64&format=webp") for _ in range(20)]
    answers = await asyncio.gather(*asking)

    assert len({answer.content for answer in answers}) == 1
    assert {answer.status_code for answer in answers} == {200}
    assert await drawings(client) == 1


async def test_erasing_an_asset_leaves_nothing_in_the_folder(
    connect: Connect, tmp_path: Path
) -> None:
    async with connect(objects="file:", data=tmp_path) as client:
        url, other = [await give(client, photo(seed)) for seed in (1, 2)]
        for each in (url, other):
            for query in ("width=64", "width=128", "width=64&height=64&fit=cover"):
                await client.get(f"{each}?{query}")
        assert len(derived(tmp_path)) == 6

        await client.delete(url.removesuffix("/content"))

        digest = (await client.get(other.removesuffix("/content"))).json()["sha256"]
        left = derived(tmp_path)
    assert len(left) == 3
    assert {name[:32] for name in left} == {digest[:32]}


@pytest.mark.needs("s3")
async def test_erasing_an_asset_leaves_nothing_in_the_bucket(connect: Connect) -> None:
    bucket = fresh_bucket("s3")
    async with connect(
        objects=f"s3://{bucket.name}/{bucket.prefix}",
        s3_endpoint=bucket.endpoint,
        s3_region=bucket.region,
        s3_access_key=bucket.access_key,
        s3_secret_key=bucket.secret_key,
    ) as client:
        begun = sorted(await keys(bucket))
        url = await give(client, photo(1))
        for _ in "12":  # made, then kept
            assert size_of(await client.get(f"{url}?width=64&format=avif")) == (64, 48)
        assert len(await keys(bucket)) == len(begun) + 2

        await client.delete(url.removesuffix("/content"))

        assert sorted(await keys(bucket)) == begun
    await clear(bucket)


async def test_a_rendition_is_there_after_a_restart(
    connect: Connect, tmp_path: Path
) -> None:
    stores = {"objects": "file:", "documents": "sqlite:", "data": tmp_path}
    async with connect(**stores) as client:
        url = await give(client, photo(1))
        made = await client.get(f"{url}?width=64")

    async with connect(**stores) as client:
        kept = await client.get(f"{url}?width=64")

        assert kept.content == made.content
        assert await drawings(client) == 0


async def test_a_lost_original_is_503(connect: Connect, tmp_path: Path) -> None:
    async with connect(objects="file:", data=tmp_path) as client:
        url = await give(client, photo(1))
        for each in (tmp_path / "objects").rglob("*"):
            if each.is_file():
                each.unlink()

        answer = await client.get(f"{url}?width=64")

    assert answer.json()["type"] == "/problems/unavailable"
