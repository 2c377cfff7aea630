"""ArangoDB's failures, told in dinoserve's words: the one place that does."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import aiohttp
import jwt
from arangoasync.exceptions import ArangoError, ArangoServerError, JWTRefreshError

from dinoserve.errors import UnavailableError

PORT: Final = "graph"
"""What `UnavailableError.port` is."""

# Numbers of the server's errors.dat.
DUPLICATE: Final = frozenset({1207, 1925})
NO_DATABASE: Final = 1228
GONE: Final = frozenset({1203, NO_DATABASE, 1924})

_UNAUTHORISED: Final = 401
_MISSING: Final = 404
# What the driver raises where an answer is JSON of another shape, or none.
_GARBAGE = (LookupError, TypeError, AttributeError, ValueError)


@contextmanager
def translate() -> Generator[None]:
    """Turn what the driver raises inside the block into an error of the port.

    Raises:
        UnavailableError: any failure of the server or the way to it.
    """
    try:
        yield
    except ArangoServerError as error:
        raise unavailable(_told(error)) from error
    except JWTRefreshError as error:
        raise unavailable(
            "It does not answer, or refuses the user or password."
        ) from error
    except jwt.PyJWTError as error:
        raise unavailable(
            "Its token cannot be used; do its clock and this one agree?"
        ) from error
    except (ArangoError, aiohttp.ClientError, OSError) as error:
        raise unavailable("It does not answer.") from error
    except _GARBAGE as error:
        raise unavailable("It gave an answer that is not ArangoDB's.") from error


def unavailable(told: str) -> UnavailableError:
    """Return that ArangoDB cannot be used for now, and why."""
    return UnavailableError(f"ArangoDB: {told}", port=PORT)


def is_stale(error: ArangoServerError) -> bool:
    """Tell whether the token was refused, so that it is worth another try.

    When its token has expired, the driver (1.2.7) asks for a new one, and then repeats
    the request with the old one at a path that has the database twice.
    """
    code = error.http_code
    is_twice = str(error.request.endpoint).count("/_db/") > 1
    return code == _UNAUTHORISED or (code == _MISSING and is_twice)


def _told(error: ArangoServerError) -> str:
    number = f", error {error.error_code}" if error.error_code else ""
    reason = str(error.error_message or "")[:200]
    return f"It answered {error.http_code}{number}. {reason}".rstrip()
