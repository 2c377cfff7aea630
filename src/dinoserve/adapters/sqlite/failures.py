"""SQLite's failures, told in dinoserve's words: the one place that does."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager

from dinoserve.errors import InvalidInputError, StorageFullError, UnavailableError

# The low byte of an extended result code is the primary one (sqlite.org/rescode.html).
_PRIMARY = 0xFF
# Sizing the shared memory of the WAL is the first thing to fail on a full disk.
_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@contextmanager
def translate() -> Generator[None]:
    """Turn what SQLite raises inside the block into errors of the port.

    Raises:
        StorageFullError: the disk is full.
        UnavailableError: any other failure of SQLite.
        InvalidInputError: text that is not Unicode.
    """
    try:
        yield
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            "Text must be Unicode without lone surrogates."
        ) from error
    except (sqlite3.Error, sqlite3.Warning) as error:
        if is_full(error):
            raise StorageFullError(
                "The disk under the database is full; nothing was stored. Try again"
                " when space has been made.",
                port="documents",
            ) from error
        raise UnavailableError(
            "The database did not answer; try again.", port="documents"
        ) from error


def is_full(error: BaseException) -> bool:
    """Tell whether a full disk made SQLite fail."""
    code = _code(error)
    return code in _FULL or code & _PRIMARY in _FULL


def is_damaged(error: BaseException) -> bool:
    """Tell whether the file is no database or a malformed one."""
    return _code(error) & _PRIMARY in _DAMAGED


def _code(error: BaseException) -> int:
    # Errors of the Python module itself carry no code of SQLite.
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK))
