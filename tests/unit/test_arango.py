"""ArangoDB as the graph's copy: what is asked of it, and how its failures are met."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from arango_server import ArangoServer, fresh_graph, shared_server
from dinoserve.adapters.arango import ArangoGraph, database, requests
from dinoserve.adapters.arango.failures import translate
from dinoserve.domain.relations import Edge, Reach, Relation, Scope
from dinoserve.errors import StartUpError, UnavailableError
from relations import a_relation, an_edge, scanned

HERO = a_relation("tag:hero", "entity:a / b ü 🦊 \"'")
VILLAIN = a_relation("tag:villain", "tag:hero", weight=1.0)


@pytest.fixture(scope="module")
def own_server() -> Iterator[ArangoServer]:
    server = ArangoServer().start()
    yield server
    server.remove()


@pytest.fixture
def server(own_server: ArangoServer) -> Iterator[ArangoServer]:
    yield own_server
    own_server.tell(faults=[], token_s=3600, transaction_s=60)


@pytest.fixture
async def graph(
    server: ArangoServer, request: pytest.FixtureRequest
) -> AsyncIterator[ArangoGraph]:
    url = server.database(f"db{abs(hash(request.node.name))}")
    async with ArangoGraph.open(url) as graph:
        await graph.is_whole()  # makes the database
        yield graph


def database_of(graph: ArangoGraph) -> str:
    return graph.database.address.database


def edges_of(*relations: Relation) -> list[Edge]:
    return sorted(map(an_edge, relations))


async def everything(graph: ArangoGraph) -> list[Edge]:
    return await scanned(graph, Scope())


async def test_names_may_have_any_character(graph: ArangoGraph) -> None:
    await graph.put([HERO])
    assert await graph.touching([HERO.key.target], Reach(), 10) == edges_of(HERO)


async def test_attributes_come_back_as_they_were_put(graph: ArangoGraph) -> None:
    attributes: dict[str, object] = {"great": 10**40, "_key": None, "": [1.5, {}]}
    put = a_relation("tag:a", "tag:b", attributes=attributes, collection="films")
    await graph.put([put])
    assert await graph.get([put.key]) == [put]


async def test_one_refused_relation_of_many_is_told_and_none_is_kept(
    graph: ArangoGraph, server: ArangoServer
) -> None:
    before = server.told()["open"]
    server.fail("item", "/_api/document/dinoserve_relations", times=1)
    with pytest.raises(UnavailableError, match=r"refused 1 of 2 documents.*1210"):
        await graph.put([HERO, VILLAIN])
    assert not await everything(graph)
    assert server.told()["open"] == before


async def test_nodes_without_relations_leave_with_them(
    graph: ArangoGraph, server: ArangoServer
) -> None:
    await graph.put([HERO, VILLAIN])
    await graph.remove([VILLAIN.key])
    kept = server.documents(database_of(graph))["dinoserve_nodes"].values()
    assert {each["id"] for each in kept} == set(HERO.key[:2])
    await graph.remove(nodes=["tag:hero"])
    documents = server.documents(database_of(graph))
    assert not any(documents.values())


async def test_a_token_is_renewed_before_it_expires(
    graph: ArangoGraph, server: ArangoServer
) -> None:
    server.tell(token_s=10, secret="t" * 32)
    await graph.ping()  # the token from before is refused
    server.tell()
    await graph.ping()
    await graph.ping()
    paths = [path for _, path in server.told()["requests"]]
    assert [path for path in paths if "/_api/" not in path] == ["/_open/auth"] * 2


async def test_a_token_that_is_refused_is_replaced(
    graph: ArangoGraph, server: ArangoServer
) -> None:
    server.tell(secret="u" * 32)
    await graph.put([HERO])
    assert await everything(graph) == edges_of(HERO)


async def test_the_drivers_repeat_at_a_wrong_path_is_repeated_at_the_right_one(
    graph: ArangoGraph, server: ArangoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_LEEWAY_S", -(10**12))
    token: Any = graph.database._db.connection.token  # pyright: ignore[reportPrivateUsage] - nothing else makes it look so old
    token._token_exp = 0
    server.tell(secret="v" * 32)
    assert (await graph.ping()).startswith("ArangoDB 3.12")
    paths = [path for _, path in server.told()["requests"]]
    assert [path.count("/_db/") for path in paths] == [1, 0, 2, 0, 1]


@pytest.mark.parametrize("kind", ["500", "503", "garbage", "list", "cut"])
async def test_a_server_that_answers_wrongly_is_unavailable_until_it_is_mended(
    graph: ArangoGraph, server: ArangoServer, kind: str
) -> None:
    await graph.put([HERO])
    server.fail(kind, "/_db/")
    for failing in (
        graph.ping(),
        graph.put([VILLAIN]),
        graph.remove([HERO.key]),
        graph.get([HERO.key]),
        graph.touching(["tag:hero"], Reach(), 1),
        graph.is_whole(),
        everything(graph),
    ):
        with pytest.raises(UnavailableError) as caught:
            await failing
        assert caught.value.port == "graph"
    server.mend()
    await graph.put([VILLAIN])
    assert set(edges_of(VILLAIN)) <= set(await everything(graph))


async def test_a_read_that_takes_too_long_is_given_up(
    graph: ArangoGraph, server: ArangoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "READ_TIMEOUT_S", 0.05)
    server.fail("slow", "/_api/cursor")
    with pytest.raises(UnavailableError, match="does not answer"):
        await graph.touching(["tag:hero"], Reach(), 1)


async def test_a_scan_is_paged(
    graph: ArangoGraph, server: ArangoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "BATCH", 2)
    many = [a_relation(f"tag:{at}", "tag:hub") for at in range(5)]
    await graph.put(many)
    server.tell()
    assert await everything(graph) == edges_of(*many)
    told = server.told()
    asked = [path for method, path in told["requests"] if method == "POST"]
    assert sum("/_api/cursor" in path for path in asked) == 3
    assert told["open"]["cursors"] == 0


async def test_a_scan_that_is_left_closes_its_cursor(
    graph: ArangoGraph, server: ArangoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "BATCH", 2)
    await graph.put([a_relation(f"tag:{at}", "tag:hub") for at in range(5)])
    async with aclosing(graph.scan(Scope())) as blocks:
        async for _ in blocks:
            assert server.told()["open"]["cursors"] == 1
            break
    assert server.told()["open"]["cursors"] == 0


async def test_a_database_that_was_dropped_is_made_anew(
    graph: ArangoGraph, server: ArangoServer
) -> None:
    await graph.put([HERO])
    await graph.set_whole(is_whole=True)
    server.tell(drop=database_of(graph))
    with pytest.raises(UnavailableError, match="1228"):
        await graph.get([HERO.key])
    assert await graph.is_whole() is False
    assert not await everything(graph)


async def test_two_that_write_the_same_at_once_are_both_told_the_truth(
    graph: ArangoGraph,
) -> None:
    writes = (
        graph.put([a_relation("tag:a", "tag:b", weight=at / 8)]) for at in range(1, 9)
    )
    ended = await asyncio.gather(*writes, return_exceptions=True)
    stored = {at / 8 for at, end in enumerate(ended, 1) if end is None}
    [edge] = await everything(graph)
    assert edge.weight in stored
    assert all(end is None or isinstance(end, UnavailableError) for end in ended)


async def test_a_text_that_the_server_does_not_know_is_refused(
    graph: ArangoGraph,
) -> None:
    with pytest.raises(UnavailableError, match="answered 400, error 1501"):
        await graph.database.rows("FOR e IN dinoserve_relations RETURN e", {})


async def test_a_wrong_password_is_told_without_it(server: ArangoServer) -> None:
    url = f"arangodb://root:wr0ng@127.0.0.1:{server.port}/graph"
    async with ArangoGraph.open(url) as graph:
        with pytest.raises(UnavailableError, match="refuses the user") as caught:
            await graph.ping()
    assert "wr0ng" not in str(caught.value.detail)


async def test_a_dead_host_is_unavailable() -> None:
    async with ArangoGraph.open("arangodb://root:pw@127.0.0.1:9/graph") as graph:
        with pytest.raises(UnavailableError, match="does not answer"):
            await graph.ping()


@pytest.mark.parametrize(
    "url",
    [
        "arangodb://root:s3cret@host:8529",
        "arangodb://root:s3cret@host:port/db",
        "arangodb:///db",
        "http://root:s3cret@host/db",
        "arangodb://root:s3cret@host/db/more",
    ],
)
async def test_a_url_that_is_none_stops_the_start_without_showing_it(url: str) -> None:
    with pytest.raises(StartUpError, match="DINOSERVE_GRAPH") as caught:
        async with ArangoGraph.open(url):
            pass
    assert "s3cret" not in str(caught.value.detail)


async def test_each_database_is_followed_under_a_name_of_its_own() -> None:
    async with fresh_graph() as first, fresh_graph() as second:
        assert first.name != second.name
        assert first.name.startswith("arangodb-")
        assert shared_server().told()["open"]["transactions"] == 0


def test_errors_of_ours_pass_as_they_are() -> None:
    with pytest.raises(StartUpError), translate():
        raise StartUpError("as it is")
