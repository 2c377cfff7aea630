"""What the writer thread does with writes that queue up."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from dinoserve.adapters.sqlite.writer import Writer

Work = Callable[[sqlite3.Connection], int]


@pytest.fixture
def connection(tmp_path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        tmp_path / "db", isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("CREATE TABLE number (n INTEGER PRIMARY KEY)")
    connection.execute(
        """CREATE TABLE orphan (
            n INTEGER REFERENCES number DEFERRABLE INITIALLY DEFERRED
        )"""
    )
    return connection


@pytest.fixture
async def writer(connection: sqlite3.Connection) -> AsyncIterator[Writer]:
    writer = Writer(connection)
    yield writer
    writer.close()


class Gate:
    """A write that keeps the writer busy until it is opened."""

    def __init__(self, writer: Writer) -> None:
        self._entered = threading.Event()
        self._opened = threading.Event()
        self.future = writer.submit(self._wait)
        assert self._entered.wait(10)

    def _wait(self, _: sqlite3.Connection) -> None:
        self._entered.set()
        assert self._opened.wait(10)

    async def open(self) -> None:
        self._opened.set()
        await self.future


def insert(number: int) -> Work:
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO number VALUES (?)", (number,))
        return number

    return work


def insert_then_fail(connection: sqlite3.Connection) -> int:
    connection.execute("INSERT INTO number VALUES (100)")
    raise KeyError("a bug")


async def numbers(writer: Writer) -> list[int]:
    def work(connection: sqlite3.Connection) -> list[int]:
        rows = connection.execute("SELECT n FROM number ORDER BY n")
        return [row[0] for row in rows]

    return await writer.submit(work)


async def test_writes_that_queue_up_share_one_commit(
    connection: sqlite3.Connection, writer: Writer
) -> None:
    gate = Gate(writer)
    statements: list[str] = []
    connection.set_trace_callback(statements.append)
    futures = [writer.submit(insert(number)) for number in range(20)]
    await gate.open()
    assert await asyncio.gather(*futures) == list(range(20))
    assert statements.count("COMMIT") == 2  # the gate's, and theirs


async def test_a_write_that_fails_undoes_itself_alone(writer: Writer) -> None:
    gate = Gate(writer)
    before, failing, after = map(
        writer.submit, (insert(1), insert_then_fail, insert(2))
    )
    await gate.open()
    assert await asyncio.gather(before, after) == [1, 2]
    with pytest.raises(KeyError):
        await failing
    assert await numbers(writer) == [1, 2]


async def test_a_commit_that_fails_is_told_to_every_write_in_it(writer: Writer) -> None:
    def orphan(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO orphan VALUES (5)")
        return 5

    gate = Gate(writer)
    futures = [writer.submit(insert(1)), writer.submit(orphan)]
    await gate.open()
    for future in futures:
        with pytest.raises(sqlite3.IntegrityError):
            await future
    assert await numbers(writer) == []


async def test_a_transaction_that_sqlite_gave_up_is_told_to_every_write_in_it(
    writer: Writer,
) -> None:
    def give_up(connection: sqlite3.Connection) -> int:
        # What SQLite does by itself when the disk fills up in mid-write.
        connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    gate = Gate(writer)
    futures = [writer.submit(work) for work in (insert(1), give_up, insert(2))]
    await gate.open()
    for future in futures:
        with pytest.raises(sqlite3.OperationalError):
            await future
    assert await numbers(writer) == []


async def test_the_writer_goes_on_after_a_failed_commit(writer: Writer) -> None:
    await test_a_commit_that_fails_is_told_to_every_write_in_it(writer)
    assert await writer.submit(insert(3)) == 3
    assert await numbers(writer) == [3]


async def test_a_write_cancelled_before_it_began_never_runs(writer: Writer) -> None:
    gate = Gate(writer)
    cancelled = writer.submit(insert(1))
    assert cancelled.cancel()
    await gate.open()
    assert await numbers(writer) == []


async def test_closing_finishes_what_was_submitted(tmp_path: Path) -> None:
    path = tmp_path / "other"
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("CREATE TABLE number (n INTEGER PRIMARY KEY)")
    writer = Writer(connection)
    futures = [writer.submit(insert(number)) for number in range(300)]
    writer.close()
    assert await asyncio.gather(*futures) == list(range(300))


async def test_all_of_a_commit_are_told_at_once(writer: Writer) -> None:
    gate = Gate(writer)
    futures = [writer.submit(insert(number)) for number in range(20)]
    await gate.open()
    await futures[0]
    assert all(future.done() for future in futures)


async def test_a_caller_that_left_while_its_write_ran_hurts_no_other(
    writer: Writer,
) -> None:
    gate = Gate(writer)
    gate.future.cancel()
    other = writer.submit(insert(1))
    with pytest.raises(asyncio.CancelledError):
        await gate.open()
    assert await other == 1


async def test_a_loop_that_was_closed_before_its_answer_stops_nobody(
    writer: Writer,
) -> None:
    gate = Gate(writer)

    async def leave() -> None:
        writer.submit(insert(1))

    await asyncio.to_thread(asyncio.run, leave())
    await gate.open()
    assert await writer.submit(insert(2)) == 2
    assert await numbers(writer) == [1, 2]


async def test_a_write_after_the_end_is_refused_at_once(
    connection: sqlite3.Connection,
) -> None:
    writer = Writer(connection)
    writer.close()

    with pytest.raises(sqlite3.ProgrammingError):
        writer.submit(insert(1))
