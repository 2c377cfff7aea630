"""ArangoDB dies, or the server beside it: no relation is lost, and none is doubled."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arango_server import ArangoServer
from dinoserve.adapters.arango import ArangoGraph
from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.domain.relations import Relation, Scope
from dinoserve.errors import UnavailableError
from dinoserve.services.graph_following import GraphFollower, Pace
from dinoserve.telemetry import Metrics
from job_site import until
from odd_files import photo
from relations import a_relation, an_edge, scanned
from servers import Server, running
from stored import uploaded

MANY = [a_relation(f"tag:{n % 3}", f"entity:{n}") for n in range(12)]


@pytest.fixture
def arango() -> Iterator[ArangoServer]:
    server = ArangoServer().start()
    # What a dead client left open is forgotten soon; a real one takes a minute.
    server.tell(transaction_s=0.2)
    yield server
    server.remove()


@pytest.fixture
async def documents(tmp_path: Path) -> AsyncIterator[SqliteDocuments]:
    async with SqliteDocuments.open(tmp_path / "documents.sqlite") as documents:
        yield documents


def follower_of(
    documents: SqliteDocuments, graph: ArangoGraph, batch: int = 1000
) -> GraphFollower:
    store, log = documents.relations, documents.relation_log
    pace = Pace(batch=batch, aside_s=0.01, most_aside_s=0.01)
    return GraphFollower(graph.name, store, log, graph, Metrics(), pace)


async def in_the_end(follower: GraphFollower, arango: ArangoServer) -> int:
    """Catch up, with the dead server started again each time; return how often."""
    deaths = 0
    while True:
        try:
            await follower.catch_up()
        except UnavailableError:
            follower.lost()
            if not arango.is_alive:
                deaths += 1
                arango.start()
                arango.tell(transaction_s=0.2)
        else:
            return deaths


def change_of(step: int) -> list[Relation]:
    return [replace(each, weight=(step + 1) / 100) for each in MANY]


@pytest.mark.parametrize("kind", ["die", "die late"])
async def test_a_server_killed_at_any_request_of_a_drain_has_all_of_it_in_the_end(
    documents: SqliteDocuments, arango: ArangoServer, kind: str
) -> None:
    async with ArangoGraph.open(arango.url) as graph:
        follower = follower_of(documents, graph)
        await follower.catch_up()
        step = deaths = 0
        while deaths == step:
            changed = change_of(step)
            await documents.relations.put(changed)
            gone = f"tag:{step % 3}"
            await documents.relations.remove([MANY[step % 12].key], [gone])
            arango.fail(kind, "/_db/", skip=step, times=1)
            deaths += await in_the_end(follower, arango)
            arango.mend()
            kept = [
                each
                for each in changed
                if each.key.source != gone and each.key != MANY[step % 12].key
            ]
            assert await scanned(graph, Scope()) == sorted(map(an_edge, kept))
            assert nodes_of(arango) == {end for each in kept for end in each.key[:2]}
            step += 1
        # Once at each request: four erase the node, four put, three erase relations.
        assert deaths >= 11


async def test_a_server_killed_while_it_is_filled_has_everything_in_the_end(
    documents: SqliteDocuments, arango: ArangoServer
) -> None:
    await documents.relations.put(MANY)
    for step in range(7, 28, 7):
        async with ArangoGraph.open(arango.database(f"g{step}")) as graph:
            arango.fail("die", "/_db/", skip=step, times=1)
            assert await in_the_end(follower_of(documents, graph, 3), arango) == 1
            assert await scanned(graph, Scope()) == sorted(map(an_edge, MANY))
            assert await graph.is_whole()


def nodes_of(arango: ArangoServer) -> set[str]:
    nodes = arango.documents()["dinoserve_nodes"].values()
    return {node["id"] for node in nodes}


def put(server: Server, pairs: list[tuple[str, str]]) -> None:
    stated = [
        {"source": source, "target": target, "kind": "knows"}
        for source, target in pairs
    ]
    with server.client() as client:
        answer = client.post("/v1/graph/relations", json={"relations": stated})
    assert answer.status_code == 200, answer.text


def walked(server: Server, node: str) -> dict[str, Any]:
    with server.client() as client:
        answer = client.get(f"/v1/graph/nodes/{node}/neighbors")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def is_in_step(server: Server, node: str) -> bool:
    return walked(server, node)["served_by"] == "arangodb"


def pairs_in(arango: ArangoServer) -> list[tuple[str, str]]:
    edges = arango.documents()["dinoserve_relations"].values()
    return sorted((edge["source"], edge["target"]) for edge in edges)


def graph_port(server: Server) -> dict[str, Any]:
    with server.client() as client:
        ports = client.get("/readyz").json()["ports"]
    return next(port for port in ports if port["name"] == "graph")


def test_a_server_killed_between_a_write_and_its_drain_loses_nothing(
    tmp_path: Path, arango: ArangoServer
) -> None:
    env = {"DINOSERVE_MODEL": "stub", "DINOSERVE_GRAPH": arango.url}
    pairs = [("tag:hub", f"entity:{n}") for n in range(40)]
    with running(tmp_path, **env) as server:
        put(server, pairs[:10])
        until(lambda: is_in_step(server, "tag:hub"))
        arango.kill()
        put(server, pairs[10:])
        found = walked(server, "tag:hub")
        assert (len(found["nodes"]), found["served_by"]) == (40, "documents")
        assert not graph_port(server)["ok"]
        server.kill()
        arango.start()
        server.start()
        until(lambda: is_in_step(server, "tag:hub"))
        assert len(walked(server, "tag:hub")["nodes"]) == 40
        assert graph_port(server)["detail"].startswith("ArangoDB 3.12")
    assert pairs_in(arango) == sorted(pairs)


def test_an_asset_erased_while_arangodb_is_away_leaves_nothing_there(
    tmp_path: Path, arango: ArangoServer
) -> None:
    env = {"DINOSERVE_MODEL": "stub", "DINOSERVE_GRAPH": arango.url}
    with running(tmp_path, **env) as server, server.client() as client:
        gone, kept = (uploaded(client, photo(seed)) for seed in (1, 2))
        put(
            server,
            [
                (f"asset:{gone}", "tag:hero"),
                ("entity:film", f"asset:{gone}"),
                (f"asset:{kept}", "tag:hero"),
            ],
        )
        until(lambda: is_in_step(server, "tag:hero"))
        assert gone in str(arango.documents())
        arango.kill()
        assert client.delete(f"/v1/assets/{gone}").status_code == 204
        arango.start()
        until(lambda: is_in_step(server, "tag:hero"))
        assert gone not in str(arango.documents())
        assert pairs_in(arango) == [(f"asset:{kept}", "tag:hero")]
        assert nodes_of(arango) == {f"asset:{kept}", "tag:hero"}


def test_a_server_starts_while_arangodb_is_away_and_says_so(tmp_path: Path) -> None:
    password = "s3cret"
    url = f"arangodb://root:{password}@127.0.0.1:9/graph"
    with running(tmp_path, DINOSERVE_MODEL="stub", DINOSERVE_GRAPH=url) as server:
        put(server, [("tag:a", "tag:b")])
        assert walked(server, "tag:a")["served_by"] == "documents"
        assert not graph_port(server)["ok"]
        assert server.stop() == 0
        assert server.output.count("is told of relations later") == 1
        assert password not in server.output
