"""One SQLite file: checked, migrated, with one writer and a few readers."""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from dinoserve.adapters.sqlite import schema
from dinoserve.adapters.sqlite.failures import is_damaged, translate
from dinoserve.adapters.sqlite.writer import Writer
from dinoserve.errors import DataFolderError, UnavailableError
from dinoserve.ports import Survey

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate[sqlite3.Connection, P], T]

_READERS = 4
_BUSY_S = 5.0
_LOOK_S = 0.01


class Database:
    """The open file; every method but `close` may be awaited concurrently.

    Args:
        path: the file; it is created if absent, its folder is not.

    Raises:
        DataFolderError: the file is damaged, newer than this code, or cannot be
            opened. A file that is refused is left untouched.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            _check(path)
            self._writer = Writer(_connect_writer(path))
        except sqlite3.Error as error:
            raise _refusal(path, error) from error
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="sqlite-reader")
        self._thread = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._closed = False

    async def read(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the work makes of a connection that only reads.

        Each statement of the work sees one state of the database.
        """
        self._require_open()
        loop = asyncio.get_running_loop()
        with translate():
            return await loop.run_in_executor(
                self._readers, lambda: work(self._reader(), *args, **kwargs)
            )

    async def write(self, work: Work[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what the work made, once it is committed and on disk.

        Work that raises is undone alone. Work that has not begun when its caller
        is cancelled never runs.
        """
        self._require_open()
        with translate():
            return await self._writer.submit(
                lambda writer: work(writer, *args, **kwargs)
            )

    def close(self) -> None:
        """Finish what was begun, checkpoint, close every connection. Blocks."""
        self._closed = True
        self._readers.shutdown()
        for connection in self._connections:
            connection.close()
        # The last connection that closes writes the log back into the file.
        self._writer.close()

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(
            self._thread, "connection", None
        )
        if connection is None:
            connection = _connect(self._path)
            connection.execute("PRAGMA query_only = ON")
            self._thread.connection = connection
            self._connections.append(connection)
        return connection

    def _require_open(self) -> None:
        if self._closed:
            raise UnavailableError("The database is closed.", port="documents")


def survey(path: Path) -> Survey:
    """Return what the file is, or would be; it stays as it is. Blocks.

    Raises:
        DataFolderError: as `Database`.
    """
    try:
        _check(path)
        number = 0
        if path.exists():
            with closing(_connect_reading(path)) as connection:
                number = schema.version(connection)
    except sqlite3.Error as error:
        raise _refusal(path, error) from error
    about = f"SQLite {sqlite3.sqlite_version}, schema {number}"
    return Survey(about, schema.pending(number))


def _connect_reading(path: Path) -> sqlite3.Connection:
    # Without a log nobody has the file open; reading it as one that may change would
    # leave an empty log beside it.
    fixed = "" if _has_log(path) else "&immutable=1"
    uri = f"{path.absolute().as_uri()}?mode=ro{fixed}"
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_S)


def _has_log(path: Path) -> bool:
    return Path(f"{path}-wal").exists()


def _connect(path: Path) -> sqlite3.Connection:
    # Opened in one thread and closed by another, never used by two at a time.
    connection = sqlite3.connect(
        path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _connect_writer(path: Path) -> sqlite3.Connection:
    is_new = not path.exists() or path.stat().st_size == 0
    connection = _connect(path)
    try:
        if is_new:
            # A table of who uses which page, so that space can be given back bit by
            # bit (sqlite.org/pragma.html#pragma_auto_vacuum).
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        _begin_log(connection)
        # With FULL every commit is synced, so an acknowledgement means durable.
        connection.execute("PRAGMA synchronous = FULL")
        schema.migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _begin_log(connection: sqlite3.Connection) -> None:
    # Of a new file, that another process opens as well, this does not wait by itself.
    until = time.monotonic() + _BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if (
                error.sqlite_errorcode != sqlite3.SQLITE_BUSY
                or time.monotonic() > until
            ):
                raise
            time.sleep(_LOOK_S)
        else:
            return


def _check(path: Path) -> None:
    """Refuse a file that is damaged or too new, through a connection that only reads.

    Raises:
        sqlite3.DatabaseError: it is no database, or malformed.
        DataFolderError: it is newer than this code.
    """
    if not path.exists():
        return
    try:
        _look(path)
    except sqlite3.DatabaseError:
        # Another process may have begun to write what was read as if nobody did.
        if not _has_log(path):
            raise
        _look(path)


def _look(path: Path) -> None:
    with closing(_connect_reading(path)) as connection:
        found = schema.version(connection)
        if found > len(schema.MIGRATIONS):
            raise DataFolderError(
                f"{path.name} was written by a newer dinoserve: its schema is {found},"
                f" this one knows {len(schema.MIGRATIONS)}. Start the newer version.",
            )
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _malformed(str(verdict))


def _malformed(verdict: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(verdict)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def _refusal(path: Path, error: sqlite3.Error) -> DataFolderError:
    if is_damaged(error):
        return DataFolderError(
            f"{path.name} is damaged ({error}). It was left untouched: restore it, and"
            " the -wal file beside it, from a backup, or move it away to start empty."
        )
    return DataFolderError(
        f"{path.name} cannot be opened ({error}). See that its folder exists, is"
        " writable and has room."
    )
