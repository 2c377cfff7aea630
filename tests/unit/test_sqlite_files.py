"""What `SqliteDocuments` does with files: keep, migrate, refuse."""
# ruff: noqa: ASYNC240 - nothing else runs on the loop of a test

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from dinoserve.adapters.sqlite import SqliteDocuments, schema
from dinoserve.adapters.sqlite.database import Database
from dinoserve.domain.assets import Filter
from dinoserve.errors import DataFolderError, UnavailableError
from records import a_recipe, a_vector, an_asset, an_embedding


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "documents.sqlite"


async def filled(path: Path, count: int = 1) -> None:
    async with SqliteDocuments.open(path) as documents:
        for seed in range(count):
            asset = an_asset(seed, tags=("a",), metadata={"n": seed})
            await documents.add(asset, an_embedding(asset, seed=seed))


async def refused(path: Path) -> str:
    with pytest.raises(DataFolderError) as caught:
        async with SqliteDocuments.open(path):
            pass
    return caught.value.detail


async def test_what_was_stored_is_there_after_reopening(path: Path) -> None:
    asset = an_asset(0, tags=("a",), metadata={"n": 0})
    async with SqliteDocuments.open(path) as documents:
        await documents.add(asset, an_embedding(asset))
        await documents.save_recipe(a_recipe())
        await documents.mark("a" * 64)
        before = await documents.get([asset.id])
    async with SqliteDocuments.open(path) as documents:
        assert await documents.get([asset.id]) == before
        found = await documents.vectors([asset.id], "r1")
        np.testing.assert_array_equal(found[asset.id], a_vector(0))
        assert await documents.ids("default", Filter(frozenset({"a"}), {"n": 0}))
        assert await documents.recipes() == [a_recipe()]
        assert await documents.unreferenced() == ["a" * 64]


async def test_a_removed_asset_stays_away_after_reopening(path: Path) -> None:
    await filled(path)
    async with SqliteDocuments.open(path) as documents:
        await documents.remove(an_asset(0).id)
    async with SqliteDocuments.open(path) as documents:
        assert await documents.get([an_asset(0).id]) == {}
        assert await documents.counts() == {}


async def test_a_copy_taken_while_open_holds_what_was_acknowledged(
    path: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy" / path.name
    copy.parent.mkdir()
    async with SqliteDocuments.open(path) as documents:
        await documents.add(an_asset(0), None)
        # What a killed process leaves: the file and its log, as they are now.
        for suffix in ("", "-wal"):
            Path(f"{copy}{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
    async with SqliteDocuments.open(copy) as documents:
        assert list(await documents.get([an_asset(0).id])) == [an_asset(0).id]


async def test_closing_leaves_one_file(path: Path) -> None:
    await filled(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_a_path_may_hold_odd_characters(tmp_path: Path) -> None:
    path = tmp_path / "a b%20?#'é.sqlite"
    await filled(path)
    await filled(path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


async def test_a_new_file_has_the_newest_schema(path: Path) -> None:
    async with SqliteDocuments.open(path) as documents:
        newest = len(schema.MIGRATIONS)
        told = f"SQLite {sqlite3.sqlite_version}, schema {newest}"
        assert await documents.ping() == told


@pytest.mark.parametrize("number", range(1, len(schema.MIGRATIONS) + 1))
def test_each_migration_writes_its_own_number(number: int) -> None:
    assert schema.MIGRATIONS[number - 1][-1] == f"PRAGMA user_version = {number}"


async def test_an_older_file_is_migrated_and_keeps_its_records(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(path)
    number = len(schema.MIGRATIONS) + 1
    added = ("CREATE TABLE later (id TEXT)", f"PRAGMA user_version = {number}")
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, added))
    async with SqliteDocuments.open(path) as documents:
        assert f"schema {number}" in await documents.ping()
        assert await documents.get([an_asset(0).id])


async def test_a_migration_that_fails_leaves_the_schema_before_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(path)
    known = schema.MIGRATIONS
    broken = ("CREATE TABLE later (id TEXT)", "CREATE TABLE asset (id TEXT)")
    monkeypatch.setattr(schema, "MIGRATIONS", (*known, broken))
    await refused(path)
    monkeypatch.setattr(schema, "MIGRATIONS", known)
    with closing(sqlite3.connect(path)) as connection:
        assert schema.version(connection) == len(known)
        tables = connection.execute("SELECT name FROM sqlite_schema").fetchall()
    assert ("later",) not in tables


async def test_a_file_of_a_newer_version_is_refused_untouched(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 9999")
    before = path.read_bytes()
    assert "newer dinoserve: its schema is 9999" in await refused(path)
    assert path.read_bytes() == before


async def test_a_file_that_is_no_database_is_refused_untouched(path: Path) -> None:
    path.write_bytes(b"no database at all, but long enough to look at " * 50)
    before = path.read_bytes()
    assert "restore it" in await refused(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("damage", ["a torn page", "a lost half"])
async def test_a_damaged_database_is_refused_untouched(path: Path, damage: str) -> None:
    await filled(path, 300)
    whole = path.read_bytes()
    middle = len(whole) // 2 // 4096 * 4096
    torn = whole[:middle] + b"\xff" * 8192 + whole[middle + 8192 :]
    path.write_bytes(torn if damage == "a torn page" else whole[:middle])
    before = path.read_bytes()
    assert "restore it" in await refused(path)
    assert path.read_bytes() == before


async def test_a_damaged_database_is_refused_with_its_log_untouched(
    path: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy" / path.name
    copy.parent.mkdir()
    await filled(path, 300)
    async with SqliteDocuments.open(path) as documents:
        await documents.mark("a" * 64)
        log = Path(f"{path}-wal").read_bytes()
        whole = path.read_bytes()
    torn = whole[:40960] + b"\xff" * 81920 + whole[122880:]
    copy.write_bytes(torn)
    Path(f"{copy}-wal").write_bytes(log)
    await refused(copy)
    assert copy.read_bytes() == torn
    assert Path(f"{copy}-wal").read_bytes() == log


async def test_an_empty_file_becomes_a_database(path: Path) -> None:
    path.touch()
    await filled(path)


async def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    assert "folder exists" in await refused(tmp_path / "absent" / "file.sqlite")


async def test_a_folder_in_the_place_of_the_file_is_told(tmp_path: Path) -> None:
    assert "cannot be opened" in await refused(tmp_path)


async def test_a_closed_store_is_unavailable(path: Path) -> None:
    async with SqliteDocuments.open(path) as documents:
        pass
    with pytest.raises(UnavailableError):
        await documents.get(["a"])
    with pytest.raises(UnavailableError):
        await documents.mark("a" * 64)


async def test_adding_an_asset_takes_the_mark_of_its_bytes_off(path: Path) -> None:
    async with SqliteDocuments.open(path) as documents:
        await documents.mark(an_asset(1).sha256)
        await documents.mark(an_asset(2).sha256)
        await documents.add(an_asset(1), None)
    with closing(sqlite3.connect(path)) as connection:
        marks = connection.execute("SELECT sha256 FROM garbage").fetchall()
    assert marks == [(an_asset(2).sha256,)]


@pytest.mark.parametrize(
    ("pragma", "value"), [("journal_mode", "wal"), ("synchronous", 2)]
)
async def test_every_commit_is_synced_to_the_log(
    path: Path, pragma: str, value: object
) -> None:
    def ask(connection: sqlite3.Connection) -> object:
        return connection.execute(f"PRAGMA {pragma}").fetchone()[0]

    database = Database(path)
    try:
        assert await database.write(ask) == value
    finally:
        database.close()
