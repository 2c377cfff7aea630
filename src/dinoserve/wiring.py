"""The only place that names adapters: settings in, services or the web app out."""

import asyncio
import hashlib
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial

from fastapi import FastAPI
from pydantic import SecretStr

from dinoserve.adapters.data_folder import claim_folder
from dinoserve.adapters.exact_index import ExactIndex
from dinoserve.adapters.fetch import DisabledFetcher, FetchLimits, GuardedFetcher
from dinoserve.adapters.memory import MemoryDocuments, MemoryObjects
from dinoserve.adapters.objects import LocalObjects
from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.engine.embedder import Forward, QueuedEmbedder
from dinoserve.engine.images import ImageLimits
from dinoserve.engine.stub import StubForward
from dinoserve.errors import StartUpError, UnavailableError, UnsafeBindError
from dinoserve.ports import DocumentStore, ImageFetcher, ObjectStore
from dinoserve.services import Services
from dinoserve.services.assets import AssetService
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.health import HealthService
from dinoserve.services.models import ModelService
from dinoserve.services.search import SearchService
from dinoserve.services.similarity import SimilarityService
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.web.app import OpenServices, create_app
from dinoserve.web.deps import WebOptions
from dinoserve.web.middleware import is_loopback

_log = logging.getLogger(__name__)
_HASHED_KEY = "sha256:"


def web_app(
    settings: Settings, metrics: Metrics, open_them: OpenServices | None = None
) -> FastAPI:
    """Return the app that these settings describe; nothing is opened yet.

    Args:
        settings: every choice.
        metrics: where the app counts.
        open_them: gives services that are open already; by default the app opens
            them when it starts.

    Raises:
        UnsafeBindError: it would be reachable from outside without a key.
    """
    check_bind(settings)
    options = WebOptions(
        key_digests=tuple(key_digest(key) for key in settings.api_keys),
        max_body_bytes=settings.max_body_bytes,
        max_held_bytes=settings.max_held_bytes,
        max_inputs=settings.max_inputs,
    )
    by_default = partial(open_services, settings, metrics)
    return create_app(open_them or by_default, options, metrics)


@asynccontextmanager
async def open_services(
    settings: Settings, metrics: Metrics
) -> AsyncGenerator[Services]:
    """Open stores and model, bring them in step, and close them at the end.

    Raises:
        StartUpError: what is wrong, and what to do about it.
    """
    async with AsyncExitStack() as stack:
        try:
            services = await _open(settings, metrics, stack)
        except UnavailableError as error:
            raise StartUpError(f"{error.port}: {error.detail}") from error
        yield services


def check_bind(settings: Settings) -> None:
    """Pass if only this machine can reach the server, or a key is asked for.

    Raises:
        UnsafeBindError: neither.
    """
    if settings.api_keys or is_loopback(settings.host):
        return
    raise UnsafeBindError(
        f"{settings.host} can be reached from other machines and no API key is set:"
        " anybody could read, add and erase. Set DINOSERVE_API_KEYS, or listen on"
        " 127.0.0.1."
    )


def key_digest(key: SecretStr) -> bytes:
    """Return the SHA-256 of an API key given in clear or as `sha256:<hex>`.

    Keys are long and random, so a plain digest is enough to keep them.

    Raises:
        StartUpError: a digest that is not 64 hex digits or is that of nothing, or a
            key that no header can carry.
    """
    text = key.get_secret_value()
    if not text.startswith(_HASHED_KEY):
        if not (text.isascii() and text.isprintable()):
            raise StartUpError("DINOSERVE_API_KEYS: a key has printable ASCII only.")
        return hashlib.sha256(text.encode()).digest()
    try:
        digest = bytes.fromhex(text.removeprefix(_HASHED_KEY))
    except ValueError:
        digest = b""
    if len(digest) != hashlib.sha256().digest_size:
        raise StartUpError("DINOSERVE_API_KEYS: `sha256:` needs 64 hex digits.")
    if digest == hashlib.sha256(b"").digest():
        raise StartUpError("DINOSERVE_API_KEYS: this is the digest of an empty key.")
    return digest


async def _open(
    settings: Settings, metrics: Metrics, stack: AsyncExitStack
) -> Services:
    if {settings.documents, settings.objects} != {"memory:"}:
        stack.enter_context(claim_folder(settings.data))
    documents = await open_documents(settings, stack)
    objects = await open_objects(settings)
    embedder = await open_embedder(settings, metrics, stack)
    services = _join(documents, objects, embedder, _fetcher(settings), metrics)
    await _bring_in_step(services)
    return services


async def open_documents(settings: Settings, stack: AsyncExitStack) -> DocumentStore:
    """Return the document store; the stack closes it.

    Raises:
        DataFolderError: the database is damaged, or newer than this program.
    """
    if settings.documents == "memory:":
        return MemoryDocuments()
    path = settings.data / "documents.sqlite"
    return await stack.enter_async_context(SqliteDocuments.open(path))


async def open_objects(settings: Settings) -> ObjectStore:
    """Return the object store; there is nothing to close."""
    if settings.objects == "memory:":
        return MemoryObjects()
    return await asyncio.to_thread(LocalObjects, settings.data / "objects")


def _fetcher(settings: Settings) -> ImageFetcher:
    if not settings.fetch_urls:
        return DisabledFetcher()
    return GuardedFetcher(
        FetchLimits(
            timeout_s=settings.fetch_timeout_s, max_bytes=settings.max_image_bytes
        )
    )


async def open_embedder(
    settings: Settings, metrics: Metrics, stack: AsyncExitStack
) -> QueuedEmbedder:
    """Return the embedder, warm; the stack closes it.

    Raises:
        StartUpError: the model or the device cannot be had.
    """
    forward = await asyncio.to_thread(_load_forward, settings, metrics)
    embedder = QueuedEmbedder(
        forward,
        ImageLimits(
            max_bytes=settings.max_image_bytes,
            max_pixels=settings.max_image_pixels,
            max_side_px=settings.max_image_side_px,
        ),
        max_batch_images=settings.max_batch_images,
        max_waiting_images=settings.max_waiting_images,
        metrics=metrics,
    )
    await stack.enter_async_context(embedder)
    seconds = await embedder.warm_up()
    card = embedder.card
    _log.info(
        "model %s (%s, %s on %s, %s) is warm after %.2f s, recipe %s",
        card.recipe.model,
        card.kind,
        card.engine,
        card.device,
        card.precision,
        seconds,
        card.recipe.id,
    )
    return embedder


def _load_forward(settings: Settings, metrics: Metrics) -> Forward:
    if settings.model == "stub":
        return StubForward()
    # Before PyTorch is imported: its threads would spin for each other's cores, which
    # costs most of the throughput as soon as anything else runs on the machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Here, because importing PyTorch takes seconds that the stub does not need.
    from dinoserve.engine.fastest import Wanted, open_forward  # noqa: PLC0415
    from dinoserve.engine.preprocess import from_config  # noqa: PLC0415
    from dinoserve.engine.weights import load_model  # noqa: PLC0415

    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    model = load_model(settings.model, token=token)
    how = from_config(settings.preprocessing, model.preprocessor, model.stride_px)
    wanted = Wanted(
        device=settings.device,
        engine=settings.engine,
        precision=settings.precision,
        cache=settings.data / "cache" / "openvino",
    )
    return open_forward(model, how, wanted, metrics)


def _join(
    documents: DocumentStore,
    objects: ObjectStore,
    embedder: QueuedEmbedder,
    fetcher: ImageFetcher,
    metrics: Metrics,
) -> Services:
    index = ExactIndex()
    assets = AssetService(
        documents=documents,
        objects=objects,
        index=index,
        embedder=embedder,
        fetcher=fetcher,
        metrics=metrics,
        now=lambda: datetime.now(UTC),
    )
    embeddings = EmbeddingService(documents, embedder, assets)
    return Services(
        assets=assets,
        embeddings=embeddings,
        search=SearchService(documents, index, embeddings, metrics),
        similarity=SimilarityService(embeddings),
        models=ModelService(documents, embedder),
        health=HealthService(documents, objects, embedder),
    )


async def _bring_in_step(services: Services) -> None:
    """Finish what a crash left, then fill the index from the store."""
    if swept := await services.assets.sweep():
        _log.warning("removed the bytes of %d uploads that a crash cut", swept)
    await services.models.announce()
    count = await services.search.fill()
    _log.info("%d vectors are searchable", count)
