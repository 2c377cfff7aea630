"""The one thread that writes, many writes to a transaction.

Syncing the log costs the same for one write as for many. While one commit is
synced the next writes queue up, and share the commit that follows.
"""

import sqlite3
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast

T = TypeVar("T")

# Bounds how long the first of a group waits for the last: about 10 ms of writes.
_MAX_GROUP = 128


@dataclass(slots=True)
class _Write:
    work: Callable[[sqlite3.Connection], Any]
    future: "Future[Any]"
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
        """Give the caller its result or error."""
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
        self._queue: SimpleQueue[_Write] = SimpleQueue()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sqlite-writer")

    def submit(self, work: Callable[[sqlite3.Connection], T]) -> "Future[T]":
        """Return what will hold the work's result once it is committed."""
        future: Future[Any] = Future()
        self._queue.put(_Write(work, future))
        self._thread.submit(self._commit_group)
        return cast("Future[T]", future)

    def close(self) -> None:
        """Finish every write that was submitted, then close the connection."""
        self._thread.shutdown()
        self._connection.close()

    def _commit_group(self) -> None:
        group = self._take()
        if not group:
            return
        try:
            self._transact(group)
        except Exception as error:  # noqa: BLE001 - every waiter must be told
            for write in group:
                write.error = error
        for write in group:
            write.tell()

    def _take(self) -> list[_Write]:
        group: list[_Write] = []
        while len(group) < _MAX_GROUP:
            try:
                write = self._queue.get_nowait()
            except Empty:
                break
            if write.future.set_running_or_notify_cancel():
                group.append(write)
        return group

    def _transact(self, group: list[_Write]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for write in group:
                write.run(self._connection)
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
