"""`dinoserve graph`: what it tells an ArangoDB, and what it refuses."""

import asyncio
import json
import os
import secrets
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from arango_server import shared_server
from dinoserve.adapters.arango import ArangoGraph
from dinoserve.adapters.data_folder import claim_folder
from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.cli import app
from dinoserve.domain.relations import Edge, Scope
from relations import a_relation, an_edge, scanned

KEPT = [a_relation("tag:a", f"tag:{n}") for n in range(5)]
STALE = a_relation("tag:old", "tag:older")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with five relations."""

    async def work() -> None:
        async with SqliteDocuments.open(tmp_path / "documents.sqlite") as store:
            await store.relations.put(KEPT)

    asyncio.run(work())
    (tmp_path / "objects").mkdir()
    return tmp_path


@pytest.fixture
def url() -> str:
    """Of a database of the double, with a relation that nobody else has."""
    url = shared_server().database(f"cli-{secrets.token_hex(8)}")

    async def work() -> None:
        async with ArangoGraph.open(url) as graph:
            await graph.put([STALE])

    asyncio.run(work())
    return url


def edges_at(url: str) -> list[Edge]:
    async def work() -> list[Edge]:
        async with ArangoGraph.open(url) as graph:
            return await scanned(graph, Scope())

    return asyncio.run(work())


def marks_in(data: Path, url: str) -> int:
    async def work() -> int:
        async with (
            SqliteDocuments.open(data / "documents.sqlite") as store,
            ArangoGraph.open(url) as graph,
        ):
            await store.relations.put(KEPT)
            return len(await store.relation_log.marked(graph.name, 99))

    return asyncio.run(work())


def graph(data: Path, url: str, *words: str) -> Result:
    env = {"DINOSERVE_DATA": os.fspath(data), "DINOSERVE_GRAPH": url}
    return CliRunner().invoke(app, words, env=env | {"COLUMNS": "200"})


def test_resync_gives_everything_and_takes_out_the_rest(data: Path, url: str) -> None:
    told = graph(data, url, "graph", "resync", "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["relations"] == 5
    assert edges_at(url) == sorted(map(an_edge, KEPT))


def test_resync_tells_what_it_did(data: Path, url: str) -> None:
    told = graph(data, url, "graph", "resync")
    assert "ArangoDB 3.12" in told.stdout
    assert "has the 5 relations of the database." in told.stdout


def test_resync_needs_an_arangodb(data: Path) -> None:
    told = graph(data, "documents", "graph", "resync")
    assert told.exit_code == 2
    assert "DINOSERVE_GRAPH names no arangodb://" in told.stderr


def test_resync_tells_of_an_arangodb_that_is_away(data: Path) -> None:
    told = graph(data, "arangodb://root:s3cret@127.0.0.1:9/g", "graph", "resync")
    assert told.exit_code != 0
    assert "does not answer" in told.stderr
    assert "s3cret" not in told.output


def test_resync_does_not_disturb_a_server(data: Path, url: str) -> None:
    with claim_folder(data):
        told = graph(data, url, "graph", "resync")
    assert told.exit_code == 2
    assert edges_at(url) == [an_edge(STALE)]


def test_unfollow_ends_the_notes(data: Path, url: str) -> None:
    graph(data, url, "graph", "resync")
    assert marks_in(data, url) == 5
    assert graph(data, url, "graph", "unfollow").exit_code == 0
    assert marks_in(data, url) == 0


def test_doctor_tells_of_an_arangodb_and_makes_nothing_there(data: Path) -> None:
    name = f"doctor-{secrets.token_hex(8)}"
    url = shared_server().database(name)
    told = graph(data, url, "doctor", "--json")
    [found] = [each for each in json.loads(told.stdout) if each["name"] == "graph"]
    assert found["ok"]
    assert "the database is not made yet" in found["detail"]
    assert name not in shared_server().told()["databases"]


def test_doctor_tells_of_an_arangodb_that_is_away(data: Path) -> None:
    told = graph(data, "arangodb://root:s3cret@127.0.0.1:9/g", "doctor", "--json")
    [found] = [each for each in json.loads(told.stdout) if each["name"] == "graph"]
    assert (told.exit_code, found["ok"]) == (1, False)
    assert "DINOSERVE_GRAPH" in found["remedy"]


@pytest.mark.parametrize(
    "url",
    [
        "arangodb://root:s3cret@host:8529",
        "arangodb://root:s3/cret@host/db",
        "http://root:s3cret@host:8529/db",
        "arango",
    ],
)
def test_a_url_that_cannot_be_read_is_told_without_it(data: Path, url: str) -> None:
    told = graph(data, url, "graph", "resync")
    assert told.exit_code == 2
    assert "arangodb://USER:PASSWORD@HOST:PORT/DATABASE" in told.stderr
    assert "s3cret" not in told.output


def test_the_settings_are_shown_without_the_password(data: Path, url: str) -> None:
    told = graph(data, url, "config")
    assert "arangodb://127.0.0.1:" in told.stdout
    assert "a%2Fb" not in told.stdout


def test_unfollow_by_name_needs_no_setting(data: Path, url: str) -> None:
    graph(data, url, "graph", "resync")
    [name] = json.loads(graph(data, url, "graph", "unfollow", "--json").stdout).values()
    graph(data, url, "graph", "resync")
    assert marks_in(data, url) == 5
    told = graph(data, "documents", "graph", "unfollow", name)
    assert told.exit_code == 0, told.output
    assert marks_in(data, url) == 0
