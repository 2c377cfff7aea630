"""What stands on the stores: servers on SQLite and MongoDB, and the bare stores."""

import urllib.request
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

from benchmarks.pictures import write_padded
from benchmarks.processes import (
    ROOT,
    Server,
    Worker,
    free_port,
    listening,
    serving,
    working,
)
from benchmarks.protocol import LoadOrder, Sample, StoreOrder
from benchmarks.rows import Row
from benchmarks.shapes import SHAPES
from pydantic import BaseModel

CLIENTS = 16
"""That send at the same time in every row of the stores."""
LIVEZ = "/livez"
VECTOR = "cached embedding of an asset"
PUT = f"bare store, {CLIENTS} 200 kB puts at once"
SQLITE, MONGODB = "SQLite", "MongoDB"
UPLOAD = {store: f"{store}, 200 kB upload" for store in (SQLITE, MONGODB)}
SCAN = {store: f"{store}, vectors read" for store in (SQLITE, MONGODB)}
_STORES: Mapping[str, Literal["sqlite", "mongodb"]] = {
    SQLITE: "sqlite",
    MONGODB: "mongodb",
}
_QUESTIONS = {"asset by id": "record", "page of 50": "page"}
_MONGODB_SERVER = ROOT / ".venv" / "servers" / "bin" / "secantusd-py"
_MISSING = "MongoDB: not measured, `make test` installs the server that stands for it"
_TIMEOUT_S = 60


class Stand(NamedTuple):
    """A server with a stub for a model, and the assets that it was given."""

    server: Server
    assets: list[str]


class StoreCast(NamedTuple):
    """The processes that are measured.

    Attributes:
        stands: by store.
        client: a `benchmarks.client` with pictures of 200 kB.
        stored: a `benchmarks.stored`.
        notes: what is not there.
    """

    stands: Mapping[str, Stand]
    client: Worker
    stored: Worker
    notes: list[str]


class _Asset(BaseModel):
    id: str


@contextmanager
def opened_stores(folder: Path, vectors: int) -> Generator[StoreCast]:
    """Fill the stores, and run every process for the block.

    Args:
        folder: where everything happens.
        vectors: that are there to be read.

    Raises:
        MeasuringError: a process did not start.
    """
    pictures = folder / "padded"
    write_padded(pictures)
    bare = folder / "stored"
    bare.mkdir()
    with ExitStack() as stack:
        url = stack.enter_context(_mongodb(folder / "mongodb"))
        names = [SQLITE, *([MONGODB] if url else [])]
        arguments = (str(bare), str(pictures), str(vectors))
        yield StoreCast(
            {
                name: stack.enter_context(_stand(folder, name, url, pictures))
                for name in names
            },
            stack.enter_context(
                working("benchmarks.client", str(pictures), log=folder / "padded.log")
            ),
            stack.enter_context(
                working(
                    "benchmarks.stored",
                    *(*arguments, *([f"{url}/stored"] if url else [])),
                    log=folder / "stored.log",
                )
            ),
            [] if url else [_MISSING],
        )


def store_rows(cast: StoreCast) -> list[Row]:
    """Return every row of the stores; rows to be compared stand next to each other."""
    http = [
        _http_row(LIVEZ, cast, SQLITE, "livez"),
        _http_row(VECTOR, cast, SQLITE, "vector"),
    ]
    uploads = [
        _http_row(UPLOAD[store], cast, store, "assets without embedding")
        for store in cast.stands
    ]
    reads = [
        _http_row(f"{store}, {name}", cast, store, question)
        for name, question in _QUESTIONS.items()
        for store in cast.stands
    ]
    put = StoreOrder(store="objects", at_once=CLIENTS, seconds=0)
    scans = [
        _bare_row(SCAN[store], cast, StoreOrder(store=_STORES[store], seconds=0))
        for store in cast.stands
    ]
    return [*http, _bare_row(PUT, cast, put), *uploads, *reads, *scans]


@contextmanager
def _mongodb(folder: Path) -> Generator[str]:
    """Run a server for the block; yield its address, or nothing if it is not there."""
    if not _MONGODB_SERVER.exists():
        yield ""
        return
    port = free_port()
    command = [
        *(str(_MONGODB_SERVER), "--host", "127.0.0.1", "--port", str(port)),
        # It syncs before it acknowledges, as SQLite does.
        *("--storage-path", "storage", "--sync-on-commit", "--log-level", "WARNING"),
    ]
    with listening(command, folder, port):
        yield f"mongodb://127.0.0.1:{port}"


@contextmanager
def _stand(folder: Path, store: str, mongodb: str, pictures: Path) -> Generator[Stand]:
    settings = {
        "DINOSERVE_DATA": "var",
        # What is measured is everything but the model.
        "DINOSERVE_MODEL": "stub",
        "DINOSERVE_LOG_LEVEL": "warning",
    }
    if store == MONGODB:
        settings["DINOSERVE_DOCUMENTS"] = f"{mongodb}/served"
    command = ["-m", "dinoserve", "serve", "--port", "0"]
    with serving(command, folder / f"on-{_STORES[store]}", settings) as server:
        yield Stand(server, _uploaded(server, pictures))


def _uploaded(server: Server, pictures: Path) -> list[str]:
    """Give the server the files as they are; return their assets' ids."""
    shape = SHAPES["assets"]
    files = [file.read_bytes() for file in sorted(pictures.glob("*.jpg"))]
    bodies = [shape.before + file + shape.after for file in files]
    return [_upload(server.url + shape.path, body) for body in bodies]


def _upload(url: str, body: bytes) -> str:
    headers = {"content-type": SHAPES["assets"].content_type}
    request = urllib.request.Request(url, body, headers)
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        return _Asset.model_validate_json(answer.read()).id


def _http_row(name: str, cast: StoreCast, store: str, shape: str) -> Row:
    server, assets = cast.stands[store]

    def measure(seconds: float) -> Sample:
        order = LoadOrder(
            url=server.url, shape=shape, clients=CLIENTS, seconds=seconds, assets=assets
        )
        return cast.client.ask(order)

    return Row(name, CLIENTS, measure, server.pid)


def _bare_row(name: str, cast: StoreCast, order: StoreOrder) -> Row:
    def measure(seconds: float) -> Sample:
        return cast.stored.ask(order.model_copy(update={"seconds": seconds}))

    return Row(name, 0, measure, cast.stored.pid)
