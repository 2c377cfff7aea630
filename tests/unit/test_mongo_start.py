"""MongoDBs that cannot serve, and URLs that cannot be used, each told as it is."""

import gc
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pymongo import AsyncMongoClient

from dinoserve.adapters.mongo import MongoDocuments, database
from dinoserve.cli.config import env_example
from dinoserve.errors import StartUpError
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import open_services
from mongo_server import MongoServer, fresh_database
from records import an_asset

SECRET = "pa%40ss"
NOBODY = "127.0.0.1:9"  # the discard port: nothing answers there


async def refused(url: str) -> str:
    with pytest.raises(StartUpError) as error:
        async with MongoDocuments.open(url):
            pass
    return error.value.detail


@pytest.mark.needs("mongodb")
async def test_a_standalone_server_is_refused_with_what_to_do() -> None:
    server = MongoServer(":memory:", "--standalone").start()
    try:
        told = await refused(f"{server.url}dinoserve")
    finally:
        server.stop()
    assert "no transactions" in told
    assert "mongosh --eval 'rs.initiate()'" in told


@pytest.mark.needs("mongodb")
async def test_a_wrong_password_is_told_without_it(tmp_path: Path) -> None:
    server = MongoServer(tmp_path).start()
    async with AsyncMongoClient[dict[str, Any]](server.url) as client:
        await client.admin.command("createUser", "ann", pwd="right", roles=["root"])
    server.stop()
    server = MongoServer(tmp_path, "--auth").start()
    try:
        place = f"@{server.address}/dinoserve?authSource=admin"
        told = await refused(f"mongodb://ann:{SECRET}{place}")
        async with MongoDocuments.open(f"mongodb://ann:right{place}") as documents:
            assert await documents.add(an_asset(1), None)
    finally:
        server.stop()
    assert "refused the user" in told
    assert "pa" not in told.split("refused the user")[0]
    assert SECRET not in told
    assert "pa@ss" not in told
    assert "clusterTime" not in told


@pytest.fixture
def forgotten_sockets() -> Iterator[None]:
    """The driver leaves a socket behind if it is closed while it connects."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.usefixtures("forgotten_sockets")
async def test_a_server_that_is_not_there_is_told_with_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database, "ANSWER_S", 0.5)
    told = await refused(f"mongodb://ann:{SECRET}@{NOBODY}/x")
    assert NOBODY in told
    assert "See that it runs" in told
    assert SECRET not in told


async def test_an_option_that_cannot_be_is_told() -> None:
    told = await refused(f"mongodb://{NOBODY}/x?maxPoolSize=many")
    assert "DINOSERVE_DOCUMENTS" in told
    assert "maxpoolsize" in told


def settings(**changes: object) -> Settings:
    return Settings.model_validate(changes)


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://localhost",
        "mongodb://localhost:27017/dinoserve",
        "mongodb://a.example:1,b.example:2/db?replicaSet=rs0",
        "mongodb://[::1]:27017/",
        "mongodb+srv://ann:secret@cluster.example/db?retryWrites=true",
        "mongodb://ann:s%40%2F@localhost/db",
        "mongodb://%2Ftmp%2Fmongodb-27017.sock/db",
    ],
)
def test_a_mongodb_url_is_a_document_store(url: str) -> None:
    assert settings(documents=url).documents.get_secret_value() == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://localhost", "one of sqlite:"),
        ("", "one of sqlite:"),
        ("mongodb://", "HOST"),
        ("mongodb://ann:hush@hush@localhost/db", "%40"),
        ("mongodb://ann:hu/sh@localhost/db", "%2F"),
        ("mongodb://ann:hu?sh@localhost/db", "%3F"),
    ],
)
def test_another_url_is_refused_without_being_repeated(url: str, why: str) -> None:
    with pytest.raises(ValidationError) as error:
        settings(documents=url)
    assert why in str(error.value)
    assert "hu" not in str(error.value)


def test_the_credentials_of_a_url_are_never_shown() -> None:
    own = settings(documents="mongodb://ann:hush@host/db?tlsPassword=hush")
    shown = repr(own) + own.model_dump_json() + str(own.documents)
    assert "mongodb://host/db" in shown
    assert "hush" not in shown
    assert "ann" not in shown


def test_the_default_is_shown_as_it_is() -> None:
    assert "\n# DINOSERVE_DOCUMENTS=sqlite:\n" in env_example()


@pytest.mark.needs("mongodb")
async def test_the_service_runs_on_the_url_alone(tmp_path: Path) -> None:
    async with fresh_database() as url:
        own = settings(data=tmp_path, model="stub", documents=url)
        async with open_services(own, Metrics()) as services:
            documents = services.assets.documents
            assert "MongoDB" in await documents.ping()
            assert len(await documents.recipes()) == 1
    assert not (tmp_path / "documents.sqlite").exists()
