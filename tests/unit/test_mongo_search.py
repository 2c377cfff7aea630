"""What MongoDB's vector search is asked, and what is answered for it meanwhile."""

from collections.abc import AsyncGenerator

import numpy as np
import pytest

from dinoserve.adapters.exact_index import ExactIndex
from dinoserve.adapters.mongo import index as mongo_index
from dinoserve.adapters.mongo.database import Database, connect
from dinoserve.adapters.mongo.index import MongoIndex, prepare
from dinoserve.adapters.mongo.records import embedding_id, packed
from dinoserve.errors import UnavailableError
from dinoserve.ports import Nearest, Space
from mongo_search_server import SearchServer, searching
from mongo_server import fresh_database
from records import a_vector
from searched_mongo import store

pytestmark = pytest.mark.needs("mongodb")

WIDTH = 8
HERE = Space("default", "r1")


class Clock:
    """Tells the seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def server() -> AsyncGenerator[SearchServer]:
    async with fresh_database() as url, searching(url) as server:
        yield server


@pytest.fixture
async def database(server: SearchServer) -> AsyncGenerator[Database]:
    async with connect(server.url) as database:
        yield database


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def index(database: Database, clock: Clock) -> MongoIndex:
    await prepare(database, WIDTH)
    return MongoIndex(database, WIDTH, ExactIndex(), settling_s=600, clock=clock)


async def kept(database: Database, *names: str) -> None:
    """Store a vector of its own for each name; the index is told nothing."""
    vectors = np.stack([a_vector(int(name), WIDTH) for name in names])
    await database.run(store, HERE, names, vectors)


def ids_of(found: Nearest) -> list[str]:
    return [hit.asset_id for hit in found.hits]


async def test_a_search_asks_what_the_documentation_says(
    server: SearchServer, index: MongoIndex
) -> None:
    await index.search(HERE, a_vector(1), 3, None)

    assert server.stages == [
        {
            "index": "vectors_8",
            "path": "vector",
            "queryVector": packed(a_vector(1)),
            "filter": {
                "$and": [
                    {"collection": {"$eq": "default"}},
                    {"recipe": {"$eq": "r1"}},
                ]
            },
            "limit": 67,
            "numCandidates": 1340,
        }
    ]


@pytest.mark.parametrize("k", [1, 500, 1001])
async def test_candidates_stay_within_what_the_server_takes(
    server: SearchServer, index: MongoIndex, k: int
) -> None:
    await index.search(HERE, a_vector(1), k, None)

    (stage,) = server.stages
    assert k < stage["limit"] <= stage["numCandidates"] <= 10_000


async def test_an_exact_search_asks_for_every_vector(
    server: SearchServer, index: MongoIndex
) -> None:
    await index.search(HERE, a_vector(1), 3, None, exact=True)

    (stage,) = server.stages
    assert stage["exact"] is True
    assert "numCandidates" not in stage


async def test_what_was_just_given_is_found_before_mongodb_knows_it(
    server: SearchServer, database: Database, index: MongoIndex
) -> None:
    server.knows = {embedding_id("2", "r1")}
    await kept(database, "1", "2")
    await index.upsert(HERE, ["1"], a_vector(1)[None])

    assert ids_of(await index.search(HERE, a_vector(1), 2, None)) == ["1", "2"]


async def test_a_vector_that_was_replaced_has_its_new_score_alone(
    database: Database, index: MongoIndex
) -> None:
    await kept(database, "1")
    await index.upsert(HERE, ["1"], a_vector(2)[None])

    (hit,) = (await index.search(HERE, a_vector(2), 9, None)).hits

    assert hit.score == pytest.approx(1.0, abs=1e-6)


async def test_what_was_just_erased_is_missed_though_mongodb_knows_it(
    database: Database, index: MongoIndex
) -> None:
    await kept(database, "1", "2")
    await index.delete(HERE, ["1"])

    assert ids_of(await index.search(HERE, a_vector(1), 2, None)) == ["2"]


async def test_what_was_just_erased_takes_no_place_of_others(
    server: SearchServer, index: MongoIndex
) -> None:
    await index.delete(HERE, [str(number) for number in range(100)])
    await index.search(HERE, a_vector(1), 3, None)

    assert server.stages[-1]["limit"] == 167


async def test_after_the_settling_time_mongodb_alone_is_asked(
    server: SearchServer, index: MongoIndex, clock: Clock
) -> None:
    server.knows = set()
    await index.upsert(HERE, ["1"], a_vector(1)[None])
    clock.now = 599
    await index.upsert(HERE, ["2"], a_vector(2)[None])
    assert set(ids_of(await index.search(HERE, a_vector(1), 9, None))) == {
        "1",
        "2",
    }

    clock.now = 600
    await index.upsert(HERE, ["3"], a_vector(3)[None])

    assert set(ids_of(await index.search(HERE, a_vector(1), 9, None))) == {
        "2",
        "3",
    }


async def test_a_change_begins_the_settling_time_anew(
    server: SearchServer, index: MongoIndex, clock: Clock
) -> None:
    server.knows = set()
    await index.upsert(HERE, ["1"], a_vector(1)[None])
    clock.now = 599
    await index.upsert(HERE, ["1"], a_vector(2)[None])
    clock.now = 1198
    await index.upsert(HERE, ["2"], a_vector(3)[None])

    assert set(ids_of(await index.search(HERE, a_vector(1), 9, None))) == {
        "1",
        "2",
    }


async def test_what_changed_again_keeps_nothing_else_from_being_forgotten(
    server: SearchServer, index: MongoIndex, clock: Clock
) -> None:
    server.knows = set()
    await index.upsert(HERE, ["1", "2"], np.stack([a_vector(1), a_vector(2)]))
    clock.now = 599
    await index.upsert(HERE, ["1"], a_vector(1)[None])
    clock.now = 600
    await index.upsert(HERE, ["3"], a_vector(3)[None])

    assert set(ids_of(await index.search(HERE, a_vector(1), 9, None))) == {
        "1",
        "3",
    }


async def test_what_is_remembered_is_bounded(
    server: SearchServer, index: MongoIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mongo_index, "_MOST_RECENT", 2)
    server.knows = set()
    for name in ("1", "2", "3"):
        await index.upsert(HERE, [name], a_vector(int(name))[None])

    assert set(ids_of(await index.search(HERE, a_vector(1), 9, None))) == {
        "2",
        "3",
    }


async def test_a_few_meant_assets_are_compared_without_the_search_index(
    server: SearchServer, database: Database, index: MongoIndex
) -> None:
    server.knows = set()
    await kept(database, "1", "2", "3")

    found = await index.search(HERE, a_vector(1), 9, {"1", "3", "absent"})

    assert set(ids_of(found)) == {"1", "3"}
    assert server.stages == []


@pytest.mark.parametrize("known", [None, 100])
async def test_of_many_meant_assets_the_best_come_first_whatever_is_indexed(
    server: SearchServer,
    database: Database,
    index: MongoIndex,
    monkeypatch: pytest.MonkeyPatch,
    known: int | None,
) -> None:
    monkeypatch.setattr(mongo_index, "_FEW", 30)
    names = [f"{number:03}" for number in range(300)]
    await kept(database, *names)
    exactly = (await index.search(HERE, a_vector(7), 300, None)).hits
    if known:
        server.knows = {embedding_id(name, "r1") for name in names[:known]}
    among = set(names[50:250])

    hits = (await index.search(HERE, a_vector(7), 5, among)).hits

    assert hits == [hit for hit in exactly if hit.asset_id in among][:5]
    assert server.stages[-1]["limit"] == 10_000


async def test_health_tells_what_searches(index: MongoIndex) -> None:
    await index.upsert(HERE, ["1"], a_vector(1)[None])

    told = await index.ping()

    assert told == (
        "approximate, MongoDB vector search, vectors_8 READY, 1 recent changes"
    )


async def test_health_tells_of_an_index_that_somebody_dropped(
    server: SearchServer, index: MongoIndex
) -> None:
    server.indexes.clear()

    with pytest.raises(UnavailableError, match="is gone") as caught:
        await index.ping()

    assert caught.value.port == "index"


async def test_health_tells_of_a_search_process_that_is_away(
    server: SearchServer, index: MongoIndex
) -> None:
    server.refusal = 31082

    with pytest.raises(UnavailableError, match="31082"):
        await index.ping()


async def test_a_search_that_mongodb_fails_is_unavailable(
    server: SearchServer, index: MongoIndex
) -> None:
    server.refusal = 8

    with pytest.raises(UnavailableError):
        await index.search(HERE, a_vector(1), 3, None)
