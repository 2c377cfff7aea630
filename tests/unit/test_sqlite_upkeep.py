"""SQLite's file: space that nothing uses is given back while others write."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from dinoserve.adapters.sqlite import SqliteDocuments, schema
from dinoserve.domain.vectors import Embedding
from records import an_asset

WIDE = np.full(4096, 1 / 64, np.float32)
COUNT = 200


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "documents.sqlite"


async def fill(documents: SqliteDocuments) -> None:
    assets = [an_asset(seed) for seed in range(COUNT)]
    for recipe in ("old", "new"):
        await asyncio.gather(
            *(documents.add(one, Embedding(one.id, recipe, WIDE)) for one in assets)
        )


async def drop_and_shrink(documents: SqliteDocuments) -> None:
    while await documents.drop("old", "new", None):
        pass
    while await documents.shrink():
        pass


async def test_the_file_is_smaller_once_old_vectors_are_gone(path: Path) -> None:
    async with SqliteDocuments.open(path) as documents:
        await fill(documents)
        before = await documents.size() or 0
        await drop_and_shrink(documents)
        after = await documents.size() or 0

    assert before - after > COUNT * WIDE.nbytes * 0.9
    assert path.stat().st_size == after  # noqa: ASYNC240 - one look, and nobody waits


async def test_what_is_written_meanwhile_is_kept(path: Path) -> None:
    late = [an_asset(f"late {seed}") for seed in range(50)]
    async with SqliteDocuments.open(path) as documents:
        await fill(documents)
        await asyncio.gather(
            drop_and_shrink(documents),
            *(documents.add(one, Embedding(one.id, "new", WIDE)) for one in late),
        )
        assert await documents.counts() == {"new": COUNT + 50}

    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_file_begun_by_an_earlier_version_stays_as_large(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        schema.migrate(connection)
    async with SqliteDocuments.open(path) as documents:
        await fill(documents)
        before = await documents.size()
        await drop_and_shrink(documents)

        assert await documents.size() == before
        assert await documents.counts() == {"new": COUNT}
