"""What a server keeps: as it shows it, and as it lies in its data folder."""

import base64
import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx2

from servers import Server

_TABLES = ("asset", "term", "embedding", "garbage")


def upload(client: httpx2.Client, data: bytes, **fields: Any) -> httpx2.Response:
    """Give the picture to the server, with what is said of it."""
    files = {"file": ("photo.jpg", data)}
    return client.post("/v1/assets", files=files, data=fields)


def uploaded(client: httpx2.Client, data: bytes, **fields: Any) -> str:
    """Give the picture to the server; return the asset's id."""
    answer = upload(client, data, **fields)
    assert answer.status_code in {200, 201}, answer.text
    return str(answer.json()["id"])


def search(
    client: httpx2.Client, query: dict[str, Any], **more: Any
) -> dict[str, float]:
    """Search; return the scores by asset id, best first."""
    answer = client.post("/v1/search", json={"query": query, **more})
    assert answer.status_code == 200, answer.text
    return {hit["asset"]["id"]: hit["score"] for hit in answer.json()["hits"]}


def listed(client: httpx2.Client) -> dict[str, dict[str, Any]]:
    """Return every asset of the server by id, read page by page."""
    assets: dict[str, dict[str, Any]] = {}
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/v1/assets", params={"limit": 100, **cursor}).json()
        assets |= {asset["id"]: asset for asset in page["assets"]}
        if page["next_cursor"] is None:
            return assets
        cursor = {"cursor": page["next_cursor"]}


def data_uri(data: bytes) -> str:
    """Return the picture as a data URI."""
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def sha256(data: bytes) -> str:
    """Return the digest of the bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def object_names(data: Path) -> set[str]:
    """Return the name of every file under the objects: digests, if all is well."""
    return {path.name for path in (data / "objects").rglob("*") if path.is_file()}


def row_counts(data: Path) -> dict[str, int]:
    """Return how many rows each table that knows assets has."""
    with closing(_connect(data)) as connection:
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in _TABLES
        }


def integrity(data: Path) -> str:
    """Return SQLite's verdict on the database: `ok`, or what is wrong."""
    with closing(_connect(data)) as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def check_nothing_is_half_visible(server: Server) -> dict[str, dict[str, Any]]:
    """Fail unless every asset is whole and every stored byte belongs to one.

    Returns:
        every asset by id.
    """
    with server.client() as client:
        assets = listed(client)
        for key, asset in assets.items():
            content = client.get(f"/v1/assets/{key}/content")
            assert content.status_code == 200, content.text
            assert sha256(content.content) == asset["sha256"]
            assert asset["embeddings"]
    assert object_names(server.data) == {asset["sha256"] for asset in assets.values()}
    assert row_counts(server.data)["embedding"] == len(assets)
    return assets


def _connect(data: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{(data / 'documents.sqlite').as_uri()}?mode=ro", uri=True)
