"""The one thread that writes, many writes to a transaction.

Syncing the log costs the same for one write as for many. While one commit is
synced the next writes queue up, and share the commit that follows. So does waking
those who wait: their loop is woken once for all of them.
"""

import asyncio
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

# Bounds how long the first of a group waits for the last: about 10 ms of writes.
_MAX_GROUP = 128


@dataclass(slots=True)
class _Write:
    work: Callable[[sqlite3.Connection], Any]
    future: "asyncio.Future[Any]"
    result: Any = None
    error: Exception | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        """Do the work in a savepoint, so that a failure undoes it alone."""
        connection.execute("SAVEPOINT work")
        try:
            self.result = self.work(connection)
        except Exception as error:
            # On a full disk SQLite may have rolled the whole transaction back.
            if not connection.in_transaction:
                raise
            self.error = error
            connection.execute("ROLLBACK TO work")
        connection.execute("RELEASE work")

    def tell(self) -> None:
        """Give the caller its result or error, in its loop."""
        if self.future.cancelled():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


class Writer:
    """Runs every write on one connection, in the order they came.

    Args:
        connection: in autocommit mode; the writer owns and closes it.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._queue: SimpleQueue[_Write | None] = SimpleQueue()
        # Between a look whether it is open and the write behind it, nobody closes.
        self._door = threading.Lock()
        self._is_open = True
        self._thread = threading.Thread(
            target=self._write, name="sqlite-writer", daemon=True
        )
        self._thread.start()

    def submit(self, work: Callable[[sqlite3.Connection], T]) -> "asyncio.Future[T]":
        """Return what will hold the work's result once it is committed.

        Cancelled before the work has begun, it never runs.

        Raises:
            sqlite3.ProgrammingError: it is closed.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._door:
            if not self._is_open:
                raise sqlite3.ProgrammingError("The database is closed.")
            self._queue.put(_Write(work, future))
        return future

    def close(self) -> None:
        """Finish every write that was submitted, then close the connection. Blocks."""
        with self._door:
            self._is_open = False
            self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _write(self) -> None:
        while group := self._take():
            wanted = [write for write in group if not write.future.cancelled()]
            try:
                self._transact(wanted)
            except Exception as error:  # noqa: BLE001 - every waiter must be told
                for write in wanted:
                    write.error = error
            _tell(wanted)

    def _take(self) -> list[_Write]:
        """Return what waits, once there is some; nothing: it is to be closed."""
        group: list[_Write] = []
        with suppress(Empty):
            while len(group) < _MAX_GROUP:
                write = self._queue.get(block=not group)
                if write is None:
                    self._queue.put(None)  # for the next look, after this group
                    break
                group.append(write)
        return group

    def _transact(self, group: Sequence[_Write]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for write in group:
                write.run(self._connection)
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


def _tell(group: Iterable[_Write]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Write]] = defaultdict(list)
    for write in group:
        by_loop[write.future.get_loop()].append(write)
    for loop, writes in by_loop.items():
        # A loop that was closed has nobody who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_tell_each, writes)


def _tell_each(writes: Iterable[_Write]) -> None:
    for write in writes:
        write.tell()
