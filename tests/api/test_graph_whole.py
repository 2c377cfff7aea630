"""Parts and pieces of the graph over HTTP, read back by other tools."""

import io
import json
from typing import Any

import httpx2
import networkx as nx
import pydot
import pytest

_nx: Any = nx  # its readers leave their types open
AWKWARD = 'entity:a "quoted" <b> & \\ c\\'


async def state(client: httpx2.AsyncClient, *edges: tuple[str, str, float]) -> None:
    relations = [
        {"source": source, "target": target, "kind": "likes", "weight": weight}
        for source, target, weight in edges
    ]
    answer = await client.post("/v1/graph/relations", json={"relations": relations})
    assert answer.status_code == 200, answer.text


def ring(names: str, weight: float) -> list[tuple[str, str, float]]:
    """Every one of these related with every other."""
    pairs = [(one, two) for one in names for two in names if one < two]
    return [(f"tag:{one}", f"tag:{two}", weight) for one, two in pairs]


def members(parts: list[Any]) -> list[list[str]]:
    return [sorted(node["name"] for node in part["nodes"]) for part in parts]


async def drawn(client: httpx2.AsyncClient, **query: Any) -> httpx2.Response:
    answer = await client.get("/v1/graph/subgraph", params=query)
    assert answer.status_code == 200, answer.text
    return answer


async def test_components_are_what_relations_connect(
    client: httpx2.AsyncClient,
) -> None:
    await state(client, *ring("abc", 0.5), ("tag:x", "tag:y", 0.9))

    answer = (await client.get("/v1/graph/components")).json()

    assert members(answer["components"]) == [["a", "b", "c"], ["x", "y"]]
    assert (answer["nodes"], answer["relations"], answer["count"]) == (5, 4, 2)
    assert answer["served_by"] == "documents"


async def test_components_may_be_those_of_strong_relations_of_some_size(
    client: httpx2.AsyncClient,
) -> None:
    await state(client, *ring("abc", 0.5), ("tag:c", "tag:x", 0.1))
    await state(client, ("tag:y", "tag:z", 0.9))
    query = {"min_weight": 0.2, "min_size": 3, "members": 2}

    answer = (await client.get("/v1/graph/components", params=query)).json()

    [part] = answer["components"]
    assert part["size"] == 3
    assert [node["name"] for node in part["nodes"]] == ["a", "b"]


async def test_no_relations_have_no_parts(client: httpx2.AsyncClient) -> None:
    for route in ("components", "communities"):
        answer = (await client.get(f"/v1/graph/{route}")).json()
        assert (answer[route], answer["count"]) == ([], 0)


async def test_communities_are_parted_where_relations_are_few(
    client: httpx2.AsyncClient,
) -> None:
    await state(client, *ring("abcd", 0.9), *ring("wxyz", 0.9))
    await state(client, ("tag:d", "tag:w", 0.1))

    answer = (await client.get("/v1/graph/communities")).json()

    assert members(answer["communities"]) == [list("abcd"), list("wxyz")]
    assert answer["method"] == "leiden"
    assert 0.4 < answer["modularity"] <= 0.5


async def test_networkx_reads_the_node_link_json(client: httpx2.AsyncClient) -> None:
    await state(client, (AWKWARD, "tag:b", 0.5), ("tag:b", "tag:c", 0.25))

    answer = await drawn(client, node=AWKWARD, depth=2)

    graph = _nx.node_link_graph(answer.json(), edges="edges")
    assert graph.is_directed()
    assert graph.edges[AWKWARD, "tag:b", "likes"]["weight"] == 0.5
    assert graph.nodes["tag:c"]["depth"] == 2


async def test_networkx_reads_the_graphml(client: httpx2.AsyncClient) -> None:
    await state(client, (AWKWARD, "tag:b", 0.5), ("tag:b", "tag:c", 0.25))

    answer = await drawn(client, node=AWKWARD, depth=2, format="graphml")

    assert answer.headers["content-type"].startswith("application/graphml+xml")
    graph = _nx.read_graphml(io.BytesIO(answer.content), force_multigraph=True)
    assert set(graph.nodes) == {AWKWARD, "tag:b", "tag:c"}
    assert graph.edges[AWKWARD, "tag:b", "likes"]["weight"] == 0.5
    assert graph.nodes["tag:c"]["strength"] == pytest.approx(0.125)


async def test_text_that_xml_cannot_hold_does_not_break_the_graphml(
    client: httpx2.AsyncClient,
) -> None:
    await state(client, ("tag:a\uffff", "tag:b", 0.5))

    answer = await drawn(client, node="tag:b", format="graphml")

    graph = _nx.read_graphml(io.BytesIO(answer.content))
    assert set(graph.nodes) == {"tag:a\\uffff", "tag:b"}


# pydot calls its parser by names that the parser would like to drop.
@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
async def test_pydot_reads_the_dot(client: httpx2.AsyncClient) -> None:
    await state(client, (AWKWARD, "tag:b", 0.5))

    answer = await drawn(client, node="tag:b", format="dot")

    [graph] = pydot.graph_from_dot_data(answer.text) or []
    escaped = AWKWARD.replace("\\", "\\\\").replace('"', '\\"')
    names = {node.get_name() for node in graph.get_nodes()}
    assert names - {'"\\n"'} == {f'"{escaped}"', '"tag:b"'}
    [edge] = graph.get_edges()
    assert (edge.get_source(), edge.get_destination()) == (f'"{escaped}"', '"tag:b"')
    assert json.loads(edge.get("weight").strip('"')) == 0.5


async def test_a_subgraph_has_the_relations_among_its_furthest_nodes(
    client: httpx2.AsyncClient,
) -> None:
    await state(client, *ring("abc", 0.5), ("tag:c", "tag:d", 0.5))

    graph = (await drawn(client, node="tag:a", depth=1)).json()

    ends = {(edge["source"], edge["target"]) for edge in graph["edges"]}
    assert ends == {("tag:a", "tag:b"), ("tag:a", "tag:c"), ("tag:b", "tag:c")}


async def test_a_subgraph_of_some_nodes_alone_has_what_is_among_them(
    client: httpx2.AsyncClient,
) -> None:
    await state(client, *ring("abcd", 0.5))

    graph = (await drawn(client, node=["tag:a", "tag:b"], depth=0)).json()

    assert [node["id"] for node in graph["nodes"]] == ["tag:a", "tag:b"]
    assert [edge["target"] for edge in graph["edges"]] == ["tag:b"]


async def test_a_subgraph_that_was_cut_says_so(client: httpx2.AsyncClient) -> None:
    await state(client, *ring("abcd", 0.5))

    graph = (await drawn(client, node="tag:a", limit=2)).json()

    assert [node["id"] for node in graph["nodes"]] == ["tag:a", "tag:b"]
    assert graph["graph"]["truncated"] is True
