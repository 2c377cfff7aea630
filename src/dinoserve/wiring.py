"""The only place that names adapters: settings in, services or the web app out."""

import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial

from fastapi import FastAPI

from dinoserve.adapters.data_folder import (
    Claim,
    claim_folder,
    without_workers,
)
from dinoserve.adapters.qdrant_index import QdrantIndex
from dinoserve.engine.pixel_reader import ThreadedPixelReader
from dinoserve.errors import StartUpError, UnavailableError, UnsafeBindError
from dinoserve.graphs import follow, followers_of, open_graph, open_knowledge
from dinoserve.joining import Opened, joined, now
from dinoserve.loading import image_limits, open_embedder
from dinoserve.ports import Embedder, VectorIndex
from dinoserve.services import Services
from dinoserve.services.cached_embedder import CachedEmbedder
from dinoserve.services.caching import TwoLevels
from dinoserve.services.evidence import converging
from dinoserve.services.following import in_step
from dinoserve.services.orphans import OrphanService
from dinoserve.services.sweeping import Sweeper
from dinoserve.setting_values import key_digest, qdrant_url
from dinoserve.settings import Settings
from dinoserve.stores import (
    change_feed,
    grace_s,
    has_folder,
    open_areas,
    open_cache,
    open_documents,
    open_index,
    open_queue,
)
from dinoserve.telemetry import Metrics
from dinoserve.web.app import OpenServices, create_app
from dinoserve.web.deps import WebOptions
from dinoserve.web.middleware import is_loopback
from dinoserve.working import Shift, working

_log = logging.getLogger(__name__)
# After every 500 objects: a million of them take some minutes, and nobody waits.
_COLLECTING_PAUSE_S = 0.1


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
        max_spooled_bytes=settings.max_spooled_bytes,
        max_inputs=settings.max_inputs,
    )
    by_default = partial(open_services, settings, metrics)
    return create_app(open_them or by_default, options, metrics)


@asynccontextmanager
async def open_services(
    settings: Settings, metrics: Metrics, claim: Claim = "server"
) -> AsyncGenerator[Services]:
    """Open stores and model, bring them in step, and close them at the end.

    Args:
        settings: every choice.
        metrics: where is counted.
        claim: a server also tidies up and works on jobs; a `worker` gets the services
            alone, beside a server.

    Raises:
        StartUpError: what is wrong, and what to do about it.
    """
    async with AsyncExitStack() as stack:
        try:
            services = await _open(settings, metrics, claim, stack)
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


async def _open(
    settings: Settings, metrics: Metrics, claim: Claim, stack: AsyncExitStack
) -> Services:
    if has_folder(settings):
        stack.enter_context(claim_folder(settings.data, claim))
    documents = await open_documents(settings, stack)
    areas = await open_areas(settings)
    embedder, levels = await _open_engine(settings, metrics, stack)
    dimension = embedder.card.recipe.dimension
    # Beside a server, the files are the server's.
    files = stack if claim == "server" else None
    if url := qdrant_url(settings.index):
        index = await open_qdrant(url, settings, stack)
    else:
        index = await open_index(settings, documents, dimension, metrics, files)
    metrics.index.labels(_kind(settings, index)).set(1)
    queue = await open_queue(settings, metrics, stack)
    pixels = stack.enter_context(ThreadedPixelReader(image_limits(settings)))
    # Workers' walks are few; what they put, a server tells the graph's copy.
    copy = None
    if claim == "server":
        copy = await open_graph(settings, documents, metrics, stack)
    knowledge = await open_knowledge(settings, stack)
    opened = Opened(
        documents,
        areas,
        index,
        embedder,
        pixels,
        levels,
        queue,
        copy,
        knowledge,
        followers_of(documents, copy, knowledge, metrics),
    )
    services = joined(opened, settings, metrics)
    if claim == "server":
        await _tidy_up(opened, services, settings, metrics, stack)
    await services.models.announce()
    feed = change_feed(documents)
    count = await stack.enter_async_context(
        in_step(services.search, feed, levels.local if levels else None)
    )
    _log.info("%d vectors are searchable", count)
    if claim == "server":
        await follow(opened.followers, settings, documents, stack)
        work = working(services.jobs, Shift(settings.job_slots), settings, metrics)
        await stack.enter_async_context(work)
    return services


async def _open_engine(
    settings: Settings, metrics: Metrics, stack: AsyncExitStack
) -> tuple[Embedder, TwoLevels | None]:
    """Return what embeds, and the cache that it looks into first, if there is one."""
    embedder: Embedder = await open_embedder(settings, metrics, stack)
    levels = await open_cache(settings, metrics, stack)
    if levels:
        limit = settings.max_request_patches
        embedder = CachedEmbedder.over(embedder, levels, limit)
    return embedder, levels


def _kind(settings: Settings, index: VectorIndex) -> str:
    if qdrant_url(settings.index):
        return "qdrant"
    return "mongodb" if index.reads_store else "memory"


async def open_qdrant(
    url: str, settings: Settings, stack: AsyncExitStack
) -> VectorIndex:
    """Return the index of a Qdrant server; the stack closes it.

    Args:
        url: of the server.
        settings: have its key.
        stack: closes it.

    Raises:
        StartUpError: its client is not installed.
    """
    key = settings.index_key.get_secret_value() if settings.index_key else None
    return await stack.enter_async_context(QdrantIndex.open(url, key))


async def _tidy_up(
    opened: "Opened",
    services: Services,
    settings: Settings,
    metrics: Metrics,
    stack: AsyncExitStack,
) -> None:
    """Remove what belongs to nobody, now and until the stack closes."""
    documents, areas, *_ = opened
    orphans = OrphanService(documents, areas, now, pause_s=_COLLECTING_PAUSE_S)
    sweeper = Sweeper(services.assets, services.uploads, orphans, metrics)
    await stack.enter_async_context(converging(services.assets.evidence))
    await _sweep_after_crash(sweeper, settings)
    await stack.enter_async_context(sweeper.sweeping())
    collect_s = settings.collect_hours * 3600
    await stack.enter_async_context(sweeper.collecting(collect_s))


async def _sweep_after_crash(sweeper: Sweeper, settings: Settings) -> None:
    """Remove what a crash left without a grace, if nobody else can be uploading."""
    if not has_folder(settings):
        return
    with without_workers(settings.data) as alone:
        if alone:
            grace = grace_s(settings, alone=True)
            assets = replace(sweeper.assets, grace_s=grace)
            await replace(sweeper, assets=assets).sweep()
