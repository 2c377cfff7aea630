"""Where a database of ArangoDB is, as one URL."""

from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from arangoasync.auth import Auth

from dinoserve.errors import StartUpError

_PORT: Final = 8529


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is, and as whom it is used."""

    host: str
    database: str
    auth: Auth

    @classmethod
    def read(cls, url: str) -> Self:
        """Return what `arangodb://USER:PASSWORD@HOST:PORT/DATABASE` names.

        Raises:
            StartUpError: it is no such URL.
        """
        try:
            parts = urlsplit(url)
            scheme = {"arangodb": "http", "arangodbs": "https"}[parts.scheme]
            host, port = parts.hostname, parts.port or _PORT
        except (KeyError, ValueError):
            scheme = host = ""
            port = 0
            parts = urlsplit("")
        database = unquote(parts.path.removeprefix("/"))
        if not (host and database and "/" not in database):
            # Without the URL, which has the password.
            raise StartUpError(
                "DINOSERVE_GRAPH is no arangodb://USER:PASSWORD@HOST:PORT/DATABASE."
            )
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        shown = f"[{host}]" if ":" in host else host
        return cls(f"{scheme}://{shown}:{port}", database, Auth(user, password))
