"""`dinoserve index rebuild`: what it refuses, and what it does of a database."""

import asyncio
import importlib
import json
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dinoserve.adapters.data_folder import claim_folder
from dinoserve.adapters.qdrant_index import QdrantIndex
from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.cli import app
from dinoserve.domain.vectors import Embedding
from dinoserve.ports import Space
from dinoserve.settings import Settings
from records import a_recipe, a_vector, an_asset

RECIPE = a_recipe()
NOBODY = "qdrant+http://127.0.0.1:9"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with twenty vectors."""

    async def work() -> None:
        async with SqliteDocuments.open(tmp_path / "documents.sqlite") as store:
            await store.save_recipe(RECIPE)
            for seed in range(20):
                vector = a_vector(seed, RECIPE.dimension)
                embedding = Embedding(an_asset(seed).id, RECIPE.id, vector)
                await store.add(an_asset(seed), embedding)

    asyncio.run(work())
    (tmp_path / "objects").mkdir()
    return tmp_path


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the client compare by itself; at the end, how many vectors it holds."""
    held: list[int] = []

    async def open_local(
        url: str, settings: Settings, stack: AsyncExitStack
    ) -> QdrantIndex:
        del url, settings
        index = await stack.enter_async_context(QdrantIndex.open(":memory:"))

        async def count() -> None:
            held.append(await index.count(Space("default", RECIPE.id)))

        stack.push_async_callback(count)
        return index

    command: Any = importlib.import_module("dinoserve.cli.index")
    monkeypatch.setattr(command, "open_qdrant", open_local)
    return held


def rebuild(data: Path, *options: str) -> Result:
    env = {"DINOSERVE_DATA": os.fspath(data), "COLUMNS": "200"}
    return CliRunner().invoke(app, ["index", "rebuild", *options], env=env)


def test_every_vector_is_given_and_recall_told(data: Path, counts: list[int]) -> None:
    result = rebuild(data, "--to", NOBODY, "--json")
    assert result.exit_code == 0, result.output
    told = [{"recipe": RECIPE.id, "vectors": 20, "recall": 1.0}]
    assert json.loads(result.stdout) == told
    assert counts == [20]


def test_people_are_told_in_words(data: Path, counts: list[int]) -> None:
    result = rebuild(data, "--to", NOBODY)
    assert f"recipe {RECIPE.id}: 20 vectors, recall 1.0000" in result.output
    assert counts == [20]


def test_a_server_that_does_not_answer_is_told_of(data: Path) -> None:
    result = rebuild(data, "--to", NOBODY)
    assert result.exit_code in {1, 2}
    assert "Qdrant did not answer" in result.output


@pytest.mark.parametrize("to", ["memory", "mongodb", "auto"])
def test_an_index_that_fills_itself_is_refused(data: Path, to: str) -> None:
    result = rebuild(data, "--to", to)
    assert result.exit_code == 2
    assert "Only a Qdrant is filled by hand" in result.output


@pytest.mark.parametrize(
    "to",
    [
        "qdrant+ftp://host",
        "http://host:6333",
        "qdrant+http://user@host",
        "qdrant+http://host/path",
        "qdrant+http://",
    ],
)
def test_what_names_no_server_is_refused(data: Path, to: str) -> None:
    result = rebuild(data, "--to", to)
    assert result.exit_code == 2
    assert "qdrant+http://qdrant:6333" in result.output


def test_a_folder_that_a_server_holds_is_left_alone(
    data: Path, counts: list[int]
) -> None:
    with claim_folder(data):
        result = rebuild(data, "--to", NOBODY)
    assert result.exit_code == 2
    assert counts == []


def test_a_folder_without_a_database_is_refused(tmp_path: Path) -> None:
    result = rebuild(tmp_path, "--to", NOBODY)
    assert result.exit_code == 2
    assert "There is no documents.sqlite" in result.output
