"""`dinoserve migrate`: what it says, does and leaves alone."""

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from typer.testing import CliRunner, Result

from dinoserve.adapters.data_folder import claim_folder
from dinoserve.adapters.mongo.schema import MIGRATIONS
from dinoserve.adapters.sqlite import schema
from dinoserve.cli import app


@pytest.fixture
def first_schema(tmp_path: Path) -> Path:
    """A data folder whose database has seen the first migration only."""
    with closing(sqlite3.connect(tmp_path / "documents.sqlite")) as connection:
        for statement in schema.MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute("INSERT INTO garbage VALUES ('kept')")
        connection.commit()
    return tmp_path


def migrate(data: Path, *arguments: str, **env: str) -> Result:
    own = {"DINOSERVE_DATA": str(data), **env}
    return CliRunner().invoke(app, ["migrate", *arguments], env=own)


def told(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def kept(data: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(data / "documents.sqlite")) as connection:
        return connection.execute("SELECT * FROM garbage").fetchall()


def test_an_older_file_is_brought_up_to_date_and_keeps_its_rows(
    first_schema: Path,
) -> None:
    answer = told(migrate(first_schema, "--json"))
    assert answer["about"].endswith("schema 1")
    assert answer["after"].endswith(f"schema {len(schema.MIGRATIONS)}")
    assert kept(first_schema) == [("kept", 0, 0)]


def test_a_second_run_finds_nothing_to_do(first_schema: Path) -> None:
    migrate(first_schema)
    assert "nothing to do" in migrate(first_schema).stdout
    assert told(migrate(first_schema, "--json"))["pending"] == []


def test_a_dry_run_says_every_statement_and_runs_none(first_schema: Path) -> None:
    before = (first_schema / "documents.sqlite").read_bytes()
    result = migrate(first_schema, "--dry-run")
    assert result.exit_code == 0
    assert "  migration 2: ALTER TABLE garbage ADD COLUMN since" in result.stdout
    assert (first_schema / "documents.sqlite").read_bytes() == before


def test_a_dry_run_leaves_nothing_beside_the_file(first_schema: Path) -> None:
    migrate(first_schema)
    before = sorted(first_schema.iterdir())
    assert migrate(first_schema, "--dry-run").exit_code == 0
    assert sorted(first_schema.iterdir()) == before


def test_a_dry_run_makes_no_file(tmp_path: Path) -> None:
    assert "schema 0" in migrate(tmp_path / "var", "--dry-run").stdout
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_may_look_while_a_server_holds_the_folder(first_schema: Path) -> None:
    with claim_folder(first_schema):
        assert migrate(first_schema, "--dry-run").exit_code == 0


def test_a_folder_that_a_server_holds_is_not_migrated(first_schema: Path) -> None:
    with claim_folder(first_schema):
        result = migrate(first_schema)
    assert result.exit_code == 2
    assert "in use by process" in result.stderr
    assert kept(first_schema) == [("kept",)]


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "documents.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 9999")
    result = migrate(tmp_path)
    assert result.exit_code == 2
    assert "newer dinoserve" in result.stderr


def test_memory_has_nothing_to_migrate(tmp_path: Path) -> None:
    result = migrate(tmp_path, DINOSERVE_DOCUMENTS="memory:")
    assert "nothing to do" in result.stdout


@pytest.mark.needs("mongodb")
async def test_a_dry_run_makes_nothing_in_mongodb_and_a_run_makes_it_all(
    tmp_path: Path, mongodb: str
) -> None:
    async def ask(*arguments: str) -> dict[str, Any]:
        env = {"DINOSERVE_DOCUMENTS": mongodb}
        command = (migrate, tmp_path, "--json", *arguments)
        return told(await asyncio.to_thread(*command, **env))

    async with AsyncMongoClient[dict[str, Any]](mongodb) as client:
        database = client.get_default_database()
        said = await ask("--dry-run")
        assert "make assets" in said["pending"]
        assert await database.list_collection_names() == []
        assert (await ask())["after"].endswith(f"schema {len(MIGRATIONS)}")
        assert "by_time" in await database.assets.index_information()
    assert (await ask())["pending"] == []
