"""What the graph refuses, and that a refusal leaves nothing behind."""

from typing import Any

import httpx2
import pytest

NOBODY = "0" * 32
GOOD: dict[str, Any] = {"source": "tag:a", "target": "tag:b", "kind": "likes"}

STATED = {
    "unknown kind of node": ({"source": "planet:mars"}, 422, "source"),
    "no colon": ({"target": "mars"}, 422, "target"),
    "an empty name": ({"target": "tag:"}, 422, "target"),
    "an id that is none": ({"target": "asset:9f"}, 422, "target"),
    "a control character": ({"target": "tag:a\nb"}, 422, "target"),
    "an asset that is not there": ({"source": f"asset:{NOBODY}"}, 404, "source"),
    "a character that is not there": (
        {"target": f"character:{NOBODY}"},
        404,
        "target",
    ),
    "a kind in capitals": ({"kind": "Likes"}, 422, "kind"),
    "no kind": ({"kind": ""}, 422, "kind"),
    "weight 0": ({"weight": 0}, 422, "weight"),
    "weight beyond 1": ({"weight": 1.0001}, 422, "weight"),
    "a weight as text": ({"weight": "0.5"}, 422, "weight"),
    "a loop of a kind of ours": (
        {"target": "tag:a", "kind": "similar"},
        422,
        "target",
    ),
    "large attributes": ({"attributes": {"a": "x" * 5000}}, 422, "attributes"),
    "deep attributes": ({"attributes": {"a": [[[[2**60]]]]}}, 422, "attributes"),
    "an unknown field": ({"heaviness": 0.5}, 422, "heaviness"),
}
WALKS = {
    "depth 0": ({"depth": 0}, "depth"),
    "depth 6": ({"depth": 6}, "depth"),
    "depth as text": ({"depth": "deep"}, "depth"),
    "limit 0": ({"limit": 0}, "limit"),
    "limit beyond": ({"limit": 1001}, "limit"),
    "weight nan": ({"min_weight": "nan"}, "min_weight"),
    "weight beyond": ({"min_weight": 1.5}, "min_weight"),
    "direction": ({"direction": "up"}, "direction"),
    "kind": ({"kind": "Likes!"}, "kind[0]"),
    "a foreign cursor": ({"cursor": "Zm9v"}, "cursor"),
    "a cursor of no strength": ({"cursor": "MXxuYW58dGFnOmI"}, "cursor"),
    "a misspelt one": ({"dept": 1}, "dept"),
}


async def is_empty(client: httpx2.AsyncClient) -> bool:
    return (await client.get("/v1/graph/components")).json()["relations"] == 0


@pytest.mark.parametrize("change", STATED.values(), ids=STATED.keys())
async def test_one_bad_relation_is_named_and_none_is_stored(
    client: httpx2.AsyncClient, change: tuple[dict[str, Any], int, str]
) -> None:
    bad, status, field = change

    body = {"relations": [GOOD, GOOD | bad]}
    answer = await client.post("/v1/graph/relations", json=body)

    assert answer.status_code == status, answer.text
    assert answer.json()["field"] == f"relations[1].{field}"
    assert await is_empty(client)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-0.5"])
async def test_a_weight_that_is_no_share_is_refused(
    client: httpx2.AsyncClient, number: str
) -> None:
    text = (
        '{"relations": [{"source": "tag:a", "target": "tag:b", "kind": "likes",'
        f' "weight": {number}}}]}}'
    )
    json = {"content-type": "application/json"}
    answer = await client.post("/v1/graph/relations", content=text, headers=json)

    assert answer.status_code == 422
    assert await is_empty(client)


async def test_more_relations_than_one_request_may_have_are_refused(
    client: httpx2.AsyncClient,
) -> None:
    body = {"relations": [GOOD] * 10_001}

    answer = await client.post("/v1/graph/relations", json=body)

    assert answer.status_code == 422
    assert answer.json()["field"] == "relations"


async def test_a_loop_of_a_kind_of_ones_own_is_kept(
    client: httpx2.AsyncClient,
) -> None:
    body = {"relations": [GOOD | {"target": "tag:a"}]}
    await client.post("/v1/graph/relations", json=body)

    answer = (await client.get("/v1/graph/nodes/tag:a/neighbors")).json()

    assert answer["nodes"] == []
    assert [each["target"] for each in answer["relations"]] == ["tag:a"]


@pytest.mark.parametrize("walk", WALKS.values(), ids=WALKS.keys())
async def test_a_walk_beyond_bounds_is_refused(
    client: httpx2.AsyncClient, walk: tuple[dict[str, Any], str]
) -> None:
    await client.post("/v1/graph/relations", json={"relations": [GOOD]})
    query, field = walk

    answer = await client.get("/v1/graph/nodes/tag:a/neighbors", params=query)

    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == field


@pytest.mark.parametrize(
    "node", [f"asset:{NOBODY}", f"character:{NOBODY}", "tag:nobody", "collection:none"]
)
async def test_a_node_that_is_not_there_is_not_found(
    client: httpx2.AsyncClient, node: str
) -> None:
    await client.post("/v1/graph/relations", json={"relations": [GOOD]})
    ends = {"source": "tag:a", "target": node}

    answers = [
        (await client.get(f"/v1/graph/nodes/{node}/neighbors"), "node"),
        (await client.get("/v1/graph/path", params=ends), "target"),
        (await client.get("/v1/graph/subgraph", params={"node": node}), "node[0]"),
    ]

    for answer, field in answers:
        assert answer.status_code == 404
        assert answer.json()["type"] == "/problems/node-not-found"
        assert answer.json()["field"] == field


@pytest.mark.parametrize(
    "body", [{}, {"node": "tag:a", "relations": [GOOD]}, {"relations": []}]
)
async def test_erasing_wants_keys_or_a_node(
    client: httpx2.AsyncClient, body: dict[str, Any]
) -> None:
    answer = await client.request("DELETE", "/v1/graph/relations", json=body)

    assert answer.status_code == 422


async def test_parts_show_a_bounded_number_of_nodes(
    client: httpx2.AsyncClient,
) -> None:
    query = {"limit": 1000, "members": 11}

    answer = await client.get("/v1/graph/components", params=query)

    assert answer.status_code == 422
