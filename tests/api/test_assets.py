"""Every route of assets, in process: what it gives and how it refuses."""

import hashlib
import json
from typing import Any

import httpx2
import pytest

from odd_files import OddFile, odd_files, photo


async def upload(
    client: httpx2.AsyncClient, data: bytes, query: str = "", **fields: Any
) -> httpx2.Response:
    files = {"file": ("a picture.jpg", data, "image/jpeg")}
    return await client.post(f"/v1/assets{query}", files=files, data=fields)


async def test_an_upload_is_answered_with_the_whole_asset(
    client: httpx2.AsyncClient,
) -> None:
    data = photo(1)

    answer = await upload(
        client,
        data,
        collection="film",
        tags=["hero", "night"],
        metadata='{"scene": "12", "take": 3}',
        subject="actor-7",
    )

    asset = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/assets/{asset['id']}"
    assert asset["sha256"] == hashlib.sha256(data).hexdigest()
    assert asset["bytes"] == len(data)
    assert (asset["width"], asset["height"]) == (500, 375)
    assert asset["media_type"] == "image/jpeg"
    assert asset["filename"] == "a picture.jpg"
    assert asset["tags"] == ["hero", "night"]
    assert asset["metadata"] == {"scene": "12", "take": 3}
    assert asset["subject"] == "actor-7"
    assert asset["created_at"].endswith("Z")
    assert asset["embeddings"][0]["dimension"] == 64


async def test_the_same_bytes_are_the_same_asset(client: httpx2.AsyncClient) -> None:
    first = await upload(client, photo(1), tags=["kept"])

    second = await upload(client, photo(1), tags=["ignored"])

    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == first.json()


async def test_another_collection_makes_another_asset_of_the_same_bytes(
    client: httpx2.AsyncClient,
) -> None:
    first = await upload(client, photo(1), collection="a")

    second = await upload(client, photo(1), collection="b")

    assert second.status_code == 201
    assert second.json()["id"] != first.json()["id"]


async def test_without_embedding_an_asset_is_kept_but_not_searchable(
    client: httpx2.AsyncClient,
) -> None:
    asset = (await upload(client, photo(1), "?embed=false")).json()

    answer = await client.post("/v1/search", json={"query": {"asset": asset["id"]}})

    assert asset["embeddings"] == []
    assert answer.status_code == 409
    assert answer.json()["type"] == "/problems/asset-not-embedded"


async def test_an_asset_gets_its_missing_embedding_when_given_again(
    client: httpx2.AsyncClient,
) -> None:
    await upload(client, photo(1), "?embed=false")

    again = await upload(client, photo(1))

    assert again.status_code == 200
    assert len(again.json()["embeddings"]) == 1


@pytest.mark.parametrize("odd", odd_files(), ids=lambda odd: odd.name)
async def test_each_odd_file_gets_its_documented_answer(
    client: httpx2.AsyncClient, odd: OddFile
) -> None:
    answer = await upload(client, odd.data)

    if odd.answer == "ok":
        assert answer.status_code == 201, answer.text
        return
    problem = answer.json()
    assert problem["type"] == f"/problems/{odd.answer}"
    assert problem["field"] == "file"
    assert problem["instance"] == answer.headers["x-request-id"]
    assert (await client.get("/v1/assets")).json()["assets"] == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"collection": "no spaces"}, "collection"),
        ({"collection": "../up"}, "collection"),
        ({"metadata": "{"}, "metadata"),
        ({"metadata": "[1]"}, "metadata"),
        ({"metadata": '{"a": NaN}'}, "metadata"),
        ({"metadata": '{"a": 9007199254740993}'}, "metadata"),
        ({"metadata": json.dumps({"a": "x" * 20_000})}, "metadata"),
        ({"metadata": '{"a": "\\ud800"}'}, "metadata"),
        ({"metadata": '{"a": ' + "[" * 260 + "]" * 260 + "}"}, "metadata"),
        ({"tags": ["x" * 65]}, "tags.0"),
        ({"tags": ["with\nbreak"]}, "tags.0"),
        ({"subject": ""}, "subject"),
        ({"misspelt": "x"}, "misspelt"),
        ({"collection": ["a", "b"]}, "collection"),
    ],
)
async def test_a_field_that_cannot_be_used_is_named(
    client: httpx2.AsyncClient, fields: dict[str, Any], field: str
) -> None:
    answer = await upload(client, photo(1), **fields)

    assert answer.status_code == 422
    assert answer.json()["field"] == field
    assert (await client.get("/v1/assets")).json()["assets"] == []


async def test_an_upload_without_a_file_says_where_the_file_belongs(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.post("/v1/assets", files={"other": ("a", b"x")})

    assert answer.status_code == 422
    assert answer.json()["field"] == "file"


async def test_an_upload_of_another_kind_names_the_two_that_work(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.post("/v1/assets", content=b"x")

    assert answer.status_code == 422
    assert answer.json()["field"] == "content-type"


@pytest.mark.parametrize("charset", ["undefined", "punycode", "utf-16"])
async def test_a_form_in_another_charset_is_refused(
    client: httpx2.AsyncClient, charset: str
) -> None:
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    body = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n--x--\r\n'

    answer = await client.post(
        "/v1/assets", content=body, headers={"content-type": kind}
    )

    assert (answer.status_code, answer.json()["field"]) == (422, "content-type")


async def test_a_url_is_refused_where_fetching_is_off(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.post("/v1/assets", json={"url": "https://example.com/a.jpg"})

    assert answer.json()["type"] == "/problems/fetch-disabled"
    assert answer.json()["field"] == "url"
    assert "DINOSERVE_FETCH_URLS" in answer.json()["detail"]


async def test_pages_show_every_asset_once_newest_first(
    client: httpx2.AsyncClient,
) -> None:
    given = [(await upload(client, photo(n))).json()["id"] for n in range(5)]

    shown: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await client.get("/v1/assets", params={"limit": 2, "cursor": cursor})
        shown += [asset["id"] for asset in page.json()["assets"]]
        cursor = page.json()["next_cursor"]

    assert shown == given[::-1]


async def test_a_list_can_be_narrowed_by_collection_tag_and_time(
    client: httpx2.AsyncClient,
) -> None:
    old = (await upload(client, photo(1), collection="a", tags=["x"])).json()
    new = (await upload(client, photo(2), collection="a", tags=["x", "y"])).json()
    await upload(client, photo(3), collection="b", tags=["x", "y"])

    async def ids(**params: Any) -> list[str]:
        page = (await client.get("/v1/assets", params=params)).json()
        return [asset["id"] for asset in page["assets"]]

    assert await ids(collection="a") == [new["id"], old["id"]]
    assert await ids(collection="a", tag=["x", "y"]) == [new["id"]]
    assert await ids(collection="a", created_from=new["created_at"]) == [new["id"]]
    assert await ids(collection="a", created_until=new["created_at"]) == [old["id"]]


async def test_a_cursor_of_somebody_elses_making_is_refused(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.get("/v1/assets", params={"cursor": "bm9wZQ"})

    assert answer.status_code == 422
    assert answer.json()["field"] == "cursor"


async def test_what_is_said_of_an_asset_can_be_replaced(
    client: httpx2.AsyncClient,
) -> None:
    asset = (await upload(client, photo(1), tags=["old"], subject="s")).json()
    url = f"/v1/assets/{asset['id']}"

    patched = await client.patch(url, json={"tags": ["new"], "metadata": {"a": None}})
    cleared = await client.patch(url, json={"subject": None})

    assert patched.json()["tags"] == ["new"]
    assert patched.json()["metadata"] == {"a": None}
    assert patched.json()["subject"] == "s"
    assert cleared.json()["subject"] is None
    assert (await client.get(url)).json() == cleared.json()


async def test_an_erased_asset_is_found_nowhere(client: httpx2.AsyncClient) -> None:
    gone = (await upload(client, photo(1))).json()
    kept = (await upload(client, photo(2))).json()

    answer = await client.delete(f"/v1/assets/{gone['id']}")

    assert answer.status_code == 204
    for path in ("", "/content"):
        left = await client.get(f"/v1/assets/{gone['id']}{path}")
        assert left.json()["type"] == "/problems/asset-not-found"
    hits = await client.post("/v1/search", json={"query": {"asset": kept["id"]}})
    assert hits.json()["hits"] == []


async def test_erasing_one_asset_leaves_the_same_bytes_of_another(
    client: httpx2.AsyncClient,
) -> None:
    gone = (await upload(client, photo(1), collection="a")).json()
    kept = (await upload(client, photo(1), collection="b")).json()

    await client.delete(f"/v1/assets/{gone['id']}")

    assert (await client.get(f"/v1/assets/{kept['id']}/content")).content == photo(1)


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_an_unknown_asset_is_a_404_problem(
    client: httpx2.AsyncClient, method: str
) -> None:
    body: dict[str, str] | None = {} if method == "PATCH" else None

    answer = await client.request(method, f"/v1/assets/{'0' * 32}", json=body)

    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/asset-not-found"


class TestContent:
    """The original, whole and in parts."""

    async def path(self, client: httpx2.AsyncClient) -> str:
        return f"/v1/assets/{(await upload(client, photo(1))).json()['id']}/content"

    async def test_the_original_comes_back_byte_for_byte(
        self, client: httpx2.AsyncClient
    ) -> None:
        answer = await client.get(await self.path(client))

        assert answer.content == photo(1)
        assert answer.headers["content-type"] == "image/jpeg"
        assert answer.headers["etag"] == f'"{hashlib.sha256(photo(1)).hexdigest()}"'
        assert "immutable" in answer.headers["cache-control"]

    @pytest.mark.parametrize(
        ("asked", "start", "stop"),
        [("0-9", 0, 10), ("10-", 10, None), ("-7", -7, None), ("5-9999999", 5, None)],
    )
    async def test_a_range_is_answered_in_part(
        self, client: httpx2.AsyncClient, asked: str, start: int, stop: int | None
    ) -> None:
        headers = {"range": f"bytes={asked}"}

        answer = await client.get(await self.path(client), headers=headers)

        assert answer.status_code == 206
        assert answer.content == photo(1)[start:stop]
        assert answer.headers["content-range"].endswith(f"/{len(photo(1))}")

    async def test_a_range_behind_the_end_cannot_be_satisfied(
        self, client: httpx2.AsyncClient
    ) -> None:
        headers = {"range": "bytes=99999999-"}

        answer = await client.get(await self.path(client), headers=headers)

        assert answer.status_code == 416
        assert answer.json()["limit"] == len(photo(1))
        assert answer.headers["content-range"] == f"bytes */{len(photo(1))}"

    async def test_a_stale_if_range_gives_the_whole(
        self, client: httpx2.AsyncClient
    ) -> None:
        headers = {"range": "bytes=0-9", "if-range": '"other"'}

        answer = await client.get(await self.path(client), headers=headers)

        assert answer.status_code == 200

    async def test_a_copy_that_is_right_is_not_sent_again(
        self, client: httpx2.AsyncClient
    ) -> None:
        path = await self.path(client)
        etag = (await client.head(path)).headers["etag"]

        answer = await client.get(path, headers={"if-none-match": f'W/{etag}, "x"'})

        assert (answer.status_code, answer.content) == (304, b"")

    async def test_head_knows_no_ranges(self, client: httpx2.AsyncClient) -> None:
        headers = {"range": "bytes=0-9"}

        answer = await client.head(await self.path(client), headers=headers)

        assert answer.status_code == 200
        assert answer.headers["content-length"] == str(len(photo(1)))

    async def test_head_tells_the_length_without_the_bytes(
        self, client: httpx2.AsyncClient
    ) -> None:
        answer = await client.head(await self.path(client))

        assert answer.headers["content-length"] == str(len(photo(1)))
        assert answer.content == b""
