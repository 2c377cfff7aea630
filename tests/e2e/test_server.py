"""The main job against a real server process, over real HTTP."""

import json

import httpx2
import pytest

from odd_files import photo
from servers import Server
from stored import data_uri, object_names, row_counts, search, sha256, upload, uploaded


def test_an_upload_is_listed_with_what_was_said_of_it(client: httpx2.Client) -> None:
    data = photo(1)
    said = {"tags": ["a", "b"], "metadata": json.dumps({"scene": 12}), "subject": "x"}
    answer = upload(client, data, collection="listed", **said)
    assert answer.status_code == 201
    asset = answer.json()
    assert asset["sha256"] == sha256(data)
    assert (asset["width"], asset["height"]) == (500, 375)
    assert (asset["bytes"], asset["media_type"]) == (len(data), "image/jpeg")
    assert (asset["tags"], asset["metadata"]) == (["a", "b"], {"scene": 12})
    page = client.get("/v1/assets", params={"collection": "listed"}).json()
    assert page == {"assets": [asset], "next_cursor": None}
    assert client.get(answer.headers["location"]).json() == asset


def test_the_same_bytes_again_are_the_same_asset(client: httpx2.Client) -> None:
    first = upload(client, photo(2), collection="twice")
    second = upload(client, photo(2), collection="twice")
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()


def test_an_upload_is_searchable_when_its_answer_arrives(
    client: httpx2.Client,
) -> None:
    keys = [uploaded(client, photo(10 + at), collection="fresh") for at in range(5)]
    query = {"image": data_uri(photo(12))}
    scores = search(client, query, collection="fresh", k=3)
    assert len(scores) == 3
    assert next(iter(scores)) == keys[2]
    assert scores[keys[2]] >= 0.999


def test_a_search_by_asset_leaves_the_asset_itself_out(client: httpx2.Client) -> None:
    keys = {uploaded(client, photo(20 + at), collection="others") for at in range(3)}
    own = min(keys)
    assert search(client, {"asset": own}, collection="others").keys() == keys - {own}


def test_a_search_by_an_own_vector_finds_its_asset(client: httpx2.Client) -> None:
    key = uploaded(client, photo(30), collection="vectors")
    uploaded(client, photo(31), collection="vectors")
    answer = client.post("/v1/embeddings", json={"input": key}).json()
    query = {"vector": answer["data"][0]["embedding"], "recipe": answer["recipe"]}
    scores = search(client, query, collection="vectors", min_score=0.999)
    assert list(scores) == [key]


def test_a_filter_admits_only_what_matches_it(client: httpx2.Client) -> None:
    where = {"collection": "filtered"}
    one = uploaded(client, photo(40), tags=["hero"], metadata='{"scene":"12"}', **where)
    uploaded(client, photo(41), tags=["hero"], metadata='{"scene":"13"}', **where)
    uploaded(client, photo(42), metadata='{"scene":"12"}', **where)
    wanted = {"tags": ["hero"], "metadata": {"scene": "12"}}
    query = {"image": data_uri(photo(43))}
    assert list(search(client, query, filter=wanted, **where)) == [one]


def test_similarity_is_one_with_itself_and_the_same_both_ways(
    client: httpx2.Client,
) -> None:
    keys = [uploaded(client, photo(50 + at), collection="pairs") for at in range(3)]
    scores = client.post("/v1/similarity", json={"left": keys}).json()["scores"]
    assert [scores[at][at] for at in range(3)] == pytest.approx([1, 1, 1], abs=1e-5)
    assert scores[0][2] == pytest.approx(scores[2][0], abs=1e-5)
    cross = {"left": keys[:1], "right": keys[1:]}
    answer = client.post("/v1/similarity", json=cross).json()["scores"]
    assert answer[0] == pytest.approx(scores[0][1:], abs=1e-5)


def test_content_comes_back_byte_for_byte(client: httpx2.Client) -> None:
    data = photo(60)
    key = uploaded(client, data, collection="content")
    content = client.get(f"/v1/assets/{key}/content")
    assert content.content == data
    assert content.headers["content-type"] == "image/jpeg"
    assert content.headers["etag"] == f'"{sha256(data)}"'
    assert "immutable" in content.headers["cache-control"]


def test_head_tells_of_the_content_without_sending_it(client: httpx2.Client) -> None:
    data = photo(61)
    key = uploaded(client, data, collection="content")
    head = client.head(f"/v1/assets/{key}/content")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(data))


def test_a_range_gives_those_bytes(client: httpx2.Client) -> None:
    data = photo(62)
    key = uploaded(client, data, collection="content")
    part = client.get(f"/v1/assets/{key}/content", headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, data[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(data)}"
    tail = client.get(f"/v1/assets/{key}/content", headers={"range": "bytes=-7"})
    assert tail.content == data[-7:]


def test_a_range_behind_the_end_is_refused_with_the_size(
    client: httpx2.Client,
) -> None:
    data = photo(63)
    key = uploaded(client, data, collection="content")
    beyond = {"range": f"bytes={len(data)}-"}
    answer = client.get(f"/v1/assets/{key}/content", headers=beyond)
    assert answer.status_code == 416
    assert answer.json()["limit"] == len(data)


def test_a_copy_that_is_right_is_not_sent_again(client: httpx2.Client) -> None:
    data = photo(64)
    key = uploaded(client, data, collection="content")
    known = {"if-none-match": f'"{sha256(data)}"'}
    answer = client.get(f"/v1/assets/{key}/content", headers=known)
    assert (answer.status_code, answer.content) == (304, b"")


def test_a_patch_changes_what_was_said_and_what_filters_find(
    client: httpx2.Client,
) -> None:
    key = uploaded(client, photo(70), collection="patched", tags=["old"], subject="x")
    change = {"tags": ["new"], "metadata": {"n": 1}, "subject": None}
    patched = client.patch(f"/v1/assets/{key}", json=change).json()
    assert {field: patched[field] for field in change} == change

    def found(tag: str) -> int:
        where = {"collection": "patched", "tag": tag}
        return len(client.get("/v1/assets", params=where).json()["assets"])

    assert (found("old"), found("new")) == (0, 1)


def test_a_deleted_asset_leaves_nothing_anywhere(
    server: Server, client: httpx2.Client
) -> None:
    before = row_counts(server.data)
    data = photo(80)
    key = uploaded(client, data, collection="gone", tags=["t"], metadata='{"a":1}')
    assert row_counts(server.data) != before
    assert client.delete(f"/v1/assets/{key}").status_code == 204
    for path in (f"/v1/assets/{key}", f"/v1/assets/{key}/content"):
        assert client.get(path).status_code == 404
    assert client.delete(f"/v1/assets/{key}").status_code == 404
    page = client.get("/v1/assets", params={"collection": "gone"}).json()
    assert page["assets"] == []
    assert search(client, {"image": data_uri(data)}, collection="gone") == {}
    assert sha256(data) not in object_names(server.data)
    assert row_counts(server.data) == before


def test_bytes_stay_while_another_collection_has_them(
    server: Server, client: httpx2.Client
) -> None:
    data = photo(81)
    left, right = (
        uploaded(client, data, collection=name) for name in ("left", "right")
    )
    client.delete(f"/v1/assets/{left}")
    assert client.get(f"/v1/assets/{right}/content").content == data
    client.delete(f"/v1/assets/{right}")
    assert sha256(data) not in object_names(server.data)


def test_an_asset_stored_without_its_vector_says_so(client: httpx2.Client) -> None:
    files = {"file": photo(90)}
    body = {"collection": "bare"}
    answer = client.post("/v1/assets", params={"embed": False}, files=files, data=body)
    asset = answer.json()
    assert (answer.status_code, asset["embeddings"]) == (201, [])
    query = {"query": {"asset": asset["id"]}, "collection": "bare"}
    problem = client.post("/v1/search", json=query)
    assert problem.status_code == 409
    assert problem.json()["type"] == "/problems/asset-not-embedded"
