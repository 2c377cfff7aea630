"""Trying everything that the server stands on: what is wrong, and what to do."""

import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx2

from dinoserve import graphs, wiring
from dinoserve.cli.client import default_url
from dinoserve.errors import DataFolderError, DinoserveError, UnavailableError
from dinoserve.loading import open_embedder
from dinoserve.setting_values import key_digest
from dinoserve.settings import MIB, Settings
from dinoserve.stores import (
    mongodb_url,
    open_documents,
    open_objects,
    survey_documents,
)
from dinoserve.telemetry import Metrics

# Eight uploads of the greatest size at once.
_LEAST_FREE_BYTES = 256 * MIB
_GIB = 1024 * MIB
_ANSWER_TIMEOUT_S = 15.0
_REMEDIES = {
    "settings": "`dinoserve config` shows what is in effect; change .env.",
    "data": "Make room, or set DINOSERVE_DATA to a folder this user can write.",
    "documents": "Restore documents.sqlite from a backup, or move it away.",
    "objects": "Let this user write the folder `objects` below DINOSERVE_DATA.",
    "model": "See DINOSERVE_MODEL and DINOSERVE_DEVICE; `bundled` on `cpu` works.",
    "mongodb": "See docs/deploy/mongodb.md; nothing was changed there.",
    "s3": "See DINOSERVE_OBJECTS and DINOSERVE_S3_…; docs/deploy/objects.md.",
    "graph": "Start that ArangoDB, or correct DINOSERVE_GRAPH; docs/graph.md.",
    "pathrag": "Start that PathRAG, or correct DINOSERVE_PATHRAG; docs/graph.md.",
    "server": "Wait if it starts; read its log; or tell where it is with --url.",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried.

    Attributes:
        detail: what it is, e.g. a version, or what is wrong.
        remedy: what to do; empty if nothing is wrong.
    """

    name: str
    ok: bool
    detail: str
    took_ms: float
    remedy: str


async def check_up(settings: Settings, url: str | None) -> list[Check]:
    """Try everything and leave nothing behind.

    If a server holds the data folder, it is asked instead.

    Args:
        settings: of the server.
        url: only ask this server.
    """
    if url is not None:
        return await _ask_server(url)
    checks = [await _try("settings", partial(_check_settings, settings))]
    with ExitStack() as stack:
        if not _claim(settings, stack):
            checks.append(Check("data", True, "held by a running server", 0.0, ""))
            return checks + await _ask_server(default_url(settings))
        checks.append(await _try("data", partial(_check_data, settings)))
        if checks[-1].ok:
            checks += await _check_stores(settings)
        if graphs.has_graph(settings):
            graph = partial(graphs.ping_graph, settings)
            checks.append(await _try("graph", graph))
        if settings.pathrag:
            pathrag = partial(_check_pathrag, settings)
            checks.append(await _try("pathrag", pathrag))
        checks.append(await _try("model", partial(_check_model, settings)))
    return checks


async def _check_stores(settings: Settings) -> list[Check]:
    is_bucket = settings.objects.startswith("s3:")
    objects = partial(_check_objects, settings)
    if mongodb_url(settings):
        documents, remedy = partial(_check_mongodb, settings), "mongodb"
    else:
        documents, remedy = partial(_check_documents, settings), "documents"
    return [
        await _try("documents", documents, remedy),
        await _try("objects", objects, "s3" if is_bucket else "objects"),
    ]


async def _try(
    name: str, work: Callable[[], Awaitable[str]], remedy: str | None = None
) -> Check:
    start = time.perf_counter()
    try:
        detail, ok = await work(), True
    except DinoserveError as error:
        detail, ok = error.detail, False
    except Exception as error:  # noqa: BLE001 - finding what is wrong is the job here
        detail, ok = f"{type(error).__name__}: {error}", False
    took_ms = round((time.perf_counter() - start) * 1000, 1)
    return Check(name, ok, detail, took_ms, "" if ok else _REMEDIES[remedy or name])


def _claim(settings: Settings, stack: ExitStack) -> bool:
    """Keep servers off the data folder; return False if one has it."""
    lock = settings.data / "lock"
    try:
        before = lock.read_bytes()
        stack.enter_context(wiring.claim_folder(settings.data))
    except DataFolderError as error:
        return not isinstance(error.__cause__, BlockingIOError)
    except OSError:  # no server ever was here, and none is told of us
        return True
    stack.callback(lock.write_bytes, before)
    return True


@contextmanager
def _scratch(settings: Settings) -> Generator[Settings]:
    """Give the same settings on an empty folder of the same disk, gone afterwards."""
    place = _existing(settings)
    folder = place if place.is_dir() else place.parent
    with tempfile.TemporaryDirectory(prefix=".doctor-", dir=folder) as at:
        yield settings.model_copy(update={"data": Path(at)})


def _existing(settings: Settings) -> Path:
    data = settings.data.absolute()
    return next(folder for folder in (data, *data.parents) if folder.exists())


async def _check_settings(settings: Settings) -> str:
    wiring.check_bind(settings)
    digests = [key_digest(key) for key in settings.api_keys]
    guard = "API keys are asked for" if digests else "no API key, this machine only"
    return f"{default_url(settings)}, {guard}"


async def _check_data(settings: Settings) -> str:
    folder, lock = _existing(settings), settings.data / "lock"
    if lock.exists() and not os.access(lock, os.R_OK | os.W_OK):
        raise DataFolderError(f"{lock} belongs to another user")
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"doctor")
    free_bytes = shutil.disk_usage(folder).free
    told = f"{settings.data.absolute()}, {free_bytes / _GIB:.1f} GiB free"
    if free_bytes < _LEAST_FREE_BYTES:
        raise UnavailableError(f"{told}: too little", port="data")
    return told if folder == settings.data.absolute() else f"{told}, not made yet"


async def _check_documents(settings: Settings) -> str:
    async with AsyncExitStack() as stack:
        if not (settings.data / "documents.sqlite").exists():
            settings = stack.enter_context(_scratch(settings))
        store = await open_documents(settings, stack)
        return f"{await store.ping()}, quick check passed"


async def _check_mongodb(settings: Settings) -> str:
    found = await survey_documents(settings)
    if not found.pending:
        return f"{found.about}, complete"
    return f"{found.about}; at the next start: {'; '.join(found.pending)}"


async def _check_objects(settings: Settings) -> str:
    told = ""
    if (settings.data / "objects").exists():
        store = await open_objects(settings)
        told = await store.ping()
    # Beside the real ones: even the folders of a probe would stay there.
    with _scratch(settings) as scratch:
        store = await open_objects(scratch)
        data = secrets.token_bytes(4096)
        sha256 = hashlib.sha256(data).hexdigest()
        await store.put(sha256, data)
        chunks = [chunk async for chunk in store.read(sha256, 0, len(data))]
        await store.delete(sha256)
        if b"".join(chunks) != data or await store.size(sha256) is not None:
            raise UnavailableError("gave back other bytes", port="objects")
        return f"{told or await store.ping()}, wrote, read and erased 4 KiB"


async def _check_pathrag(settings: Settings) -> str:
    async with AsyncExitStack() as stack:
        knowledge = await graphs.open_knowledge(settings, stack)
        return await knowledge.ping() if knowledge else "not set"


async def _check_model(settings: Settings) -> str:
    async with AsyncExitStack() as stack:
        # Converted models would be kept in the data folder.
        scratch = stack.enter_context(_scratch(settings))
        embedder = await open_embedder(scratch, Metrics(), stack)
        await embedder.check()
        card = embedder.card
    # `auto` takes CUDA if it is there; the stub does not look.
    looked = settings.device == "auto" and card.kind != "stub"
    device = "no CUDA, cpu" if looked and card.device == "cpu" else card.device
    engine = f"{card.engine} on {device}, {card.precision}"
    about = f"{card.recipe.model} ({card.kind}, {engine})"
    return f"{about}, recipe {card.recipe.id}, computes"


async def _ask_server(url: str) -> list[Check]:
    ports: list[Check] = []

    async def ask() -> str:
        async with httpx2.AsyncClient(trust_env=False) as http:
            where = f"{url.rstrip('/')}/readyz"
            answer = await http.get(where, timeout=_ANSWER_TIMEOUT_S)
        body = answer.json()
        for port in body["ports"]:
            told = (port["name"], port["ok"], port["detail"], port["took_ms"])
            ports.append(Check(*told, "" if port["ok"] else _REMEDIES["server"]))
        if not body["ready"]:
            raise UnavailableError(f"{url} is not ready", port="server")
        return f"{url} is ready"

    return [await _try("server", ask), *ports]
