"""The log of changes in a SQLite file, and several processes on that file."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.ports import Change
from guarded_forward import until
from records import an_asset, an_embedding

ASSET = an_asset(1)
_MAX_KEPT = 100_000

# What each of several processes does to one file.
_ADDS = """
import asyncio, sys
from pathlib import Path
from dinoserve.adapters.sqlite import SqliteDocuments
from records import an_asset, an_embedding

async def main(path, begin, end):
    async with SqliteDocuments.open(Path(path)) as documents:
        for seed in range(int(begin), int(end)):
            asset = an_asset(seed)
            await documents.add(asset, an_embedding(asset))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "documents.sqlite"


@pytest.fixture
async def documents(path: Path) -> AsyncIterator[SqliteDocuments]:
    async with SqliteDocuments.open(path) as documents:
        yield documents


def adding(path: Path, begin: int, end: int) -> subprocess.Popen[bytes]:
    """Start a process that adds the assets of these seeds."""
    return subprocess.Popen(
        [sys.executable, "-c", _ADDS, str(path), str(begin), str(end)],
        cwd=Path(__file__).parents[1],
        env={"PYTHONPATH": ":".join(sys.path)},
        stderr=subprocess.PIPE,
    )


def logged(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM change").fetchone()
        return int(count)


async def test_processes_that_open_a_new_file_at_once_all_write_to_it(
    path: Path,
) -> None:
    processes = [adding(path, 10 * n, 10 * (n + 1)) for n in range(3)]
    ends = [await asyncio.to_thread(process.communicate) for process in processes]
    assert [error for _, error in ends] == [b""] * 3
    async with SqliteDocuments.open(path) as documents:
        assert await documents.counts() == {"r1": 30}


async def test_what_another_process_writes_is_told(
    documents: SqliteDocuments, path: Path
) -> None:
    async with aclosing(documents.changes()) as changes:
        await anext(changes)
        process = adding(path, 0, 5)
        told = [await anext(changes) for _ in range(10)]
        _, error = await asyncio.to_thread(process.communicate)
    assert error == b""
    assert {each.asset_id for each in told if each} == {
        an_asset(seed).id for seed in range(5)
    }


async def test_the_log_is_bounded_and_who_is_too_late_is_told_so(
    documents: SqliteDocuments, path: Path
) -> None:
    def many(connection: sqlite3.Connection) -> None:
        names = ((str(n),) for n in range(_MAX_KEPT + 2500))
        connection.executemany("INSERT INTO change (asset_id) VALUES (?)", names)

    async with aclosing(documents.changes()) as changes:
        await anext(changes)
        await documents._database.write(many)  # pyright: ignore[reportPrivateUsage] - so many changes take too long
        assert await anext(changes) is None
        first = await anext(changes)
    assert first == Change("2000")
    assert logged(path) == _MAX_KEPT + 500


async def test_a_change_that_is_undone_is_not_told(documents: SqliteDocuments) -> None:
    def undone(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO change (asset_id) VALUES ('never')")
        raise ValueError("undone")

    async with aclosing(documents.changes()) as changes:
        await anext(changes)
        with pytest.raises(ValueError, match="undone"):
            await documents._database.write(undone)  # pyright: ignore[reportPrivateUsage] - breaks a write in its middle
        await documents.add(ASSET, None)
        assert await anext(changes) == Change(ASSET.id)


async def test_a_log_that_cannot_be_read_for_a_moment_is_read_on(
    documents: SqliteDocuments, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with aclosing(documents.changes()) as changes:
        await anext(changes)
        with closing(sqlite3.connect(path)) as other:
            other.execute("ALTER TABLE change RENAME TO hidden")
            following = asyncio.ensure_future(anext(changes))
            await until(lambda: "not seen" in caplog.text)
            other.execute("ALTER TABLE hidden RENAME TO change")
        await documents.add(ASSET, an_embedding(ASSET))
        assert await following == Change(ASSET.id)
