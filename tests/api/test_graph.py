"""Relations over HTTP: stated, walked, erased."""

from itertools import pairwise
from typing import Any

import httpx2
import pytest

from odd_files import photo

NEIGHBORS = "/v1/graph/nodes/{}/neighbors"


async def give(client: httpx2.AsyncClient, seed: int, **fields: Any) -> str:
    answer = await client.post("/v1/assets", files={"file": photo(seed)}, data=fields)
    return f"asset:{answer.json()['id']}"


def related(source: str, target: str, weight: float = 1.0, **more: Any) -> Any:
    kind = {"kind": "likes"} | more
    return {"source": source, "target": target, "weight": weight, **kind}


async def state(client: httpx2.AsyncClient, *relations: Any) -> httpx2.Response:
    return await client.post("/v1/graph/relations", json={"relations": relations})


async def chain(client: httpx2.AsyncClient, *names: str) -> None:
    """Relate each with the next."""
    pairs = pairwise(names)
    answer = await state(
        client, *(related(f"tag:{one}", f"tag:{two}", 0.5) for one, two in pairs)
    )
    assert answer.status_code == 200, answer.text


async def near(
    client: httpx2.AsyncClient, node: str, **query: Any
) -> list[tuple[str, int, float]]:
    answer = await client.get(NEIGHBORS.format(node), params=query)
    assert answer.status_code == 200, answer.text
    return [
        (each["id"], each["depth"], each["strength"]) for each in answer.json()["nodes"]
    ]


async def test_a_relation_is_shown_as_it_was_stated(
    client: httpx2.AsyncClient,
) -> None:
    one = await give(client, 1, collection="shots")
    stated = related(
        one, "tag:hero", 0.25, kind="shows", attributes={"by": ["me"]}, recipe="r1"
    )

    answer = await state(client, stated)

    assert answer.json() == {"stored": 1}
    shown = (await client.get(NEIGHBORS.format("tag:hero"))).json()
    [relation] = shown["relations"]
    assert relation.pop("created_at").endswith("Z")
    assert relation == {**stated, "origin": "user", "collection": "shots"}
    assert shown["served_by"] == "documents"
    assert shown["truncated"] is False


async def test_an_asset_is_shown_with_its_name_and_a_thumbnail(
    client: httpx2.AsyncClient,
) -> None:
    one = await give(client, 1, collection="shots")
    await state(client, related("tag:hero", one))

    [node] = (await client.get(NEIGHBORS.format("tag:hero"))).json()["nodes"]

    assert node["collection"] == "shots"
    picture = await client.get(node["thumbnail"])
    assert picture.status_code == 200
    assert picture.headers["content-type"].startswith("image/")


async def test_a_character_is_shown_with_its_name_and_first_reference(
    client: httpx2.AsyncClient,
) -> None:
    one = (await give(client, 1)).removeprefix("asset:")
    made = await client.post(
        "/v1/characters", json={"name": "Ada", "references": [one]}
    )
    character = f"character:{made.json()['id']}"
    await state(client, related("tag:hero", character))

    nodes = (await client.get(NEIGHBORS.format("tag:hero"))).json()["nodes"]

    [node] = [each for each in nodes if each["id"] == character]
    assert node["name"] == "Ada"
    assert one in node["thumbnail"]


async def test_the_same_relation_twice_is_one_with_the_last_weight(
    client: httpx2.AsyncClient,
) -> None:
    await state(client, related("tag:a", "tag:b", 0.2))
    await state(client, related("tag:a", "tag:b", 0.3), related("tag:a", "tag:b", 0.4))

    assert await near(client, "tag:a") == [("tag:b", 1, 0.4)]


async def test_nodes_come_by_depth_then_strength_then_id(
    client: httpx2.AsyncClient,
) -> None:
    await state(
        client,
        related("tag:a", "tag:weak", 0.2),
        related("tag:a", "tag:strong", 0.9),
        related("tag:a", "tag:even", 0.2),
        related("tag:weak", "tag:far", 1.0),
        related("tag:strong", "tag:far", 0.5),
    )

    assert await near(client, "tag:a", depth=2) == [
        ("tag:strong", 1, 0.9),
        ("tag:even", 1, 0.2),
        ("tag:weak", 1, 0.2),
        ("tag:far", 2, pytest.approx(0.45)),
    ]


async def test_a_walk_keeps_to_direction_kind_and_weight(
    client: httpx2.AsyncClient,
) -> None:
    await state(
        client,
        related("tag:a", "tag:out", 0.9),
        related("tag:in", "tag:a", 0.8),
        related("tag:a", "tag:other", 0.7, kind="knows"),
    )

    async def ids(**query: Any) -> list[str]:
        return [node for node, *_ in await near(client, "tag:a", **query)]

    assert await ids() == ["tag:out", "tag:in", "tag:other"]
    assert await ids(direction="out") == ["tag:out", "tag:other"]
    assert await ids(direction="in") == ["tag:in"]
    assert await ids(kind="knows") == ["tag:other"]
    assert await ids(kind=["knows", "likes"], min_weight=0.8) == ["tag:out", "tag:in"]


async def test_pages_tell_of_every_node_and_relation_once(
    client: httpx2.AsyncClient,
) -> None:
    names = [f"tag:{name}" for name in "bcdefg"]
    stated = [related("tag:a", name, 0.5) for name in names]
    stated += [related("tag:b", "tag:g", 0.1), related("tag:g", "tag:h", 0.1)]
    await state(client, *stated)

    nodes: list[str] = []
    relations: list[tuple[str, str]] = []
    cursor: dict[str, Any] = {}
    while True:
        query = {"limit": 2, "depth": 2, **cursor}
        page = (await client.get(NEIGHBORS.format("tag:a"), params=query)).json()
        nodes += [node["id"] for node in page["nodes"]]
        relations += [(each["source"], each["target"]) for each in page["relations"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}

    assert nodes == [*names, "tag:h"]
    assert sorted(relations) == sorted(
        (each["source"], each["target"]) for each in stated
    )


async def test_a_circle_is_walked_once(client: httpx2.AsyncClient) -> None:
    await chain(client, "a", "b", "c", "a")

    found = await near(client, "tag:a", depth=5, direction="out")

    assert found == [("tag:b", 1, 0.5), ("tag:c", 2, 0.25)]


async def test_an_asset_without_relations_has_no_neighbours(
    client: httpx2.AsyncClient,
) -> None:
    assert await near(client, await give(client, 1)) == []


async def test_a_name_may_have_a_slash_and_any_letter(
    client: httpx2.AsyncClient,
) -> None:
    await state(client, related("tag:a/b ü?", "tag:c"))

    assert await near(client, "tag:a%2Fb%20%C3%BC%3F") == [("tag:c", 1, 1.0)]


async def test_relations_are_erased_by_key_or_by_node(
    client: httpx2.AsyncClient,
) -> None:
    await chain(client, "a", "b", "c", "d")
    key = {"source": "tag:a", "target": "tag:b", "kind": "likes"}

    async def erase(**body: Any) -> int:
        answer = await client.request("DELETE", "/v1/graph/relations", json=body)
        return answer.status_code

    assert await erase(relations=[key]) == 204
    assert await erase(relations=[key]) == 204
    assert await near(client, "tag:b") == [("tag:c", 1, 0.5)]
    assert await erase(node="tag:c") == 204
    gone = await client.get(NEIGHBORS.format("tag:b"))
    assert gone.json()["type"] == "/problems/node-not-found"


async def test_an_asset_takes_its_relations_with_it(
    client: httpx2.AsyncClient,
) -> None:
    one = await give(client, 1)
    await state(client, related("tag:hero", one), related("tag:hero", "tag:other"))

    await client.delete(f"/v1/assets/{one.removeprefix('asset:')}")

    assert await near(client, "tag:hero") == [("tag:other", 1, 1.0)]


async def test_the_strongest_path_may_be_longer_than_the_shortest(
    client: httpx2.AsyncClient,
) -> None:
    await state(
        client,
        related("tag:a", "tag:b", 0.9),
        related("tag:b", "tag:c", 0.9),
        related("tag:a", "tag:c", 0.5),
    )
    ends = {"source": "tag:a", "target": "tag:c"}

    async def path(**query: Any) -> Any:
        return (await client.get("/v1/graph/path", params={**ends, **query})).json()

    strongest, fewest = await path(), await path(by="fewest")
    assert [node["id"] for node in strongest["nodes"]] == ["tag:a", "tag:b", "tag:c"]
    assert strongest["strength"] == pytest.approx(0.81)
    assert [each["weight"] for each in strongest["relations"]] == [0.9, 0.9]
    assert [node["id"] for node in fewest["nodes"]] == ["tag:a", "tag:c"]
    assert (await path(max_depth=1))["strength"] == 0.5
    assert fewest["truncated"] is False


async def test_nodes_that_nothing_connects_have_an_empty_path(
    client: httpx2.AsyncClient,
) -> None:
    await chain(client, "a", "b")
    await chain(client, "c", "d")
    query = {"source": "tag:a", "target": "tag:d"}

    answer = await client.get("/v1/graph/path", params=query)

    assert answer.status_code == 200
    assert answer.json() == {
        "found": False,
        "nodes": [],
        "relations": [],
        "strength": None,
        "truncated": False,
        "served_by": "documents",
    }


async def test_a_path_goes_against_relations_only_if_it_may(
    client: httpx2.AsyncClient,
) -> None:
    await chain(client, "a", "b", "c")

    async def is_found(direction: str) -> bool:
        query = {"source": "tag:c", "target": "tag:a", "direction": direction}
        return (await client.get("/v1/graph/path", params=query)).json()["found"]

    found = [await is_found(each) for each in ("out", "in", "any")]
    assert found == [False, True, True]
