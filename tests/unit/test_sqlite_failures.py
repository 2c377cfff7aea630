"""How `SqliteDocuments` tells failures, and what they leave behind."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from dinoserve.adapters.sqlite import SqliteDocuments, database, schema
from dinoserve.adapters.sqlite.failures import translate
from dinoserve.domain.assets import Filter
from dinoserve.errors import StorageFullError, UnavailableError
from records import an_asset, an_embedding
from small_disk import small_disk


def every_class_below(parent: type[Exception]) -> Iterator[type[Exception]]:
    yield parent
    for child in parent.__subclasses__():
        yield from every_class_below(child)


@pytest.mark.parametrize(
    "kind", [*every_class_below(sqlite3.Error), *every_class_below(sqlite3.Warning)]
)
def test_every_exception_of_sqlite_is_told_as_unavailable(
    kind: type[Exception],
) -> None:
    with pytest.raises(UnavailableError) as caught, translate():
        raise kind("detail of the driver")
    assert caught.value.port == "documents"
    assert "driver" not in caught.value.detail


def test_the_walk_covers_what_the_module_exports() -> None:
    exported = {
        kind
        for kind in vars(sqlite3).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }
    walked = {*every_class_below(sqlite3.Error), *every_class_below(sqlite3.Warning)}
    assert exported <= walked


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(KeyError), translate():
        raise KeyError("a bug")


async def test_a_database_at_its_size_limit_is_full_and_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limited = ("PRAGMA max_page_count = 100", *schema.MIGRATIONS[0])
    monkeypatch.setattr(schema, "MIGRATIONS", (limited, *schema.MIGRATIONS[1:]))
    async with SqliteDocuments.open(tmp_path / "documents.sqlite") as documents:
        assets = [an_asset(seed, metadata={"a": "x" * 3000}) for seed in range(60)]
        answers = await asyncio.gather(
            *(documents.add(asset, an_embedding(asset)) for asset in assets),
            return_exceptions=True,
        )
        assert {type(answer) for answer in answers} == {bool, StorageFullError}
        acknowledged = {
            asset.id
            for asset, answer in zip(assets, answers, strict=True)
            if answer is True
        }
        assert await documents.ids("default", Filter()) == acknowledged


async def fill(documents: SqliteDocuments) -> set[str]:
    """Add assets until the disk is full; return the ids that were acknowledged."""
    acknowledged: set[str] = set()
    for seed in count():
        asset = an_asset(seed, metadata={"a": "x" * 3000})
        try:
            await documents.add(asset, an_embedding(asset))
        except StorageFullError:
            return acknowledged
        acknowledged.add(asset.id)
    raise AssertionError("count has no end")


@pytest.mark.needs("tmpfs")
async def test_on_a_full_disk_writes_fail_whole_and_reads_go_on(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path) as disk:
        async with SqliteDocuments.open(disk / "documents.sqlite") as documents:
            acknowledged = await fill(documents)
            assert await documents.ids("default", Filter()) == acknowledged
            assert set(await documents.vectors(acknowledged, "r1")) == acknowledged
        async with SqliteDocuments.open(disk / "documents.sqlite") as documents:
            assert await documents.ids("default", Filter()) == acknowledged


async def test_a_database_locked_by_another_process_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_S", 0.01)
    path = tmp_path / "documents.sqlite"
    async with SqliteDocuments.open(path) as documents:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(UnavailableError):
                await documents.add(an_asset(1), None)
            other.execute("ROLLBACK")
        assert await documents.add(an_asset(1), None) is True
