"""The only place that names adapters: settings in, services or the web app out."""

import logging
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from fastapi import FastAPI

from dinoserve.adapters.data_folder import (
    Claim,
    claim_folder,
    kept_key,
    without_workers,
)
from dinoserve.adapters.fetch import DisabledFetcher, FetchLimits, GuardedFetcher
from dinoserve.adapters.objects import secret_key
from dinoserve.domain.links import KEY_BYTES, Signer
from dinoserve.engine.renderer import PillowRenderer
from dinoserve.errors import StartUpError, UnavailableError, UnsafeBindError
from dinoserve.loading import image_limits, open_embedder, open_renditions
from dinoserve.ports import (
    Area,
    DocumentStore,
    Embedder,
    ImageFetcher,
    JobQueue,
    ObjectStore,
    VectorIndex,
)
from dinoserve.services import Services
from dinoserve.services.assets import AssetService
from dinoserve.services.cached_documents import CachedDocuments
from dinoserve.services.cached_embedder import CachedEmbedder
from dinoserve.services.cached_index import CachedIndex
from dinoserve.services.caching import TwoLevels
from dinoserve.services.downloads import PROXY, REDIRECT, DownloadService
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.features import FeatureService
from dinoserve.services.following import in_step
from dinoserve.services.health import HealthService
from dinoserve.services.job_watching import JobWatching
from dinoserve.services.models import ModelService
from dinoserve.services.orphans import OrphanService
from dinoserve.services.search import SearchService
from dinoserve.services.similarity import SimilarityService
from dinoserve.services.sweeping import Sweeper
from dinoserve.services.uploads import UploadService
from dinoserve.setting_values import key_digest
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
from dinoserve.working import Shift, job_service, working

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
    embedder: Embedder = await open_embedder(settings, metrics, stack)
    levels = await open_cache(settings, metrics, stack)
    if levels:
        limit = settings.max_request_patches
        embedder = CachedEmbedder.over(embedder, levels, limit)
    dimension = embedder.card.recipe.dimension
    index = await open_index(settings, documents, dimension)
    metrics.index.labels("mongodb" if index.reads_store else "memory").set(1)
    queue = await open_queue(settings, metrics, stack)
    opened = _Opened(documents, areas, index, embedder, levels, queue)
    services = _join(opened, settings, metrics)
    if claim == "server":
        await _tidy_up(opened, services, settings, metrics, stack)
    await services.models.announce()
    feed = change_feed(documents)
    count = await stack.enter_async_context(
        in_step(services.search, feed, levels.local if levels else None)
    )
    _log.info("%d vectors are searchable", count)
    if claim == "server":
        work = working(services.jobs, Shift(settings.job_slots), settings, metrics)
        await stack.enter_async_context(work)
    return services


async def _tidy_up(
    opened: "_Opened",
    services: Services,
    settings: Settings,
    metrics: Metrics,
    stack: AsyncExitStack,
) -> None:
    """Remove what belongs to nobody, now and until the stack closes."""
    documents, areas, *_ = opened
    orphans = OrphanService(documents, areas, _now, pause_s=_COLLECTING_PAUSE_S)
    sweeper = Sweeper(services.assets, services.uploads, orphans, metrics)
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


def _link_key(settings: Settings) -> bytes:
    if settings.link_key:
        return secret_key("DINOSERVE_LINK_KEY", settings.link_key)
    if has_folder(settings):
        return kept_key(settings.data, KEY_BYTES)
    return secrets.token_bytes(KEY_BYTES)


def _now() -> datetime:
    return datetime.now(UTC)


def _content(settings: Settings) -> str:
    is_sealed = settings.objects_key or settings.s3_sse_c_key
    if is_sealed and settings.content not in {PROXY, REDIRECT}:
        raise StartUpError(
            "DINOSERVE_CONTENT names where everybody can read the originals, and they"
            " are sealed: set it to `proxy`."
        )
    return settings.content


def _fetcher(settings: Settings) -> ImageFetcher:
    if not settings.fetch_urls:
        return DisabledFetcher()
    return GuardedFetcher(
        FetchLimits(
            timeout_s=settings.fetch_timeout_s, max_bytes=settings.max_image_bytes
        )
    )


class _Opened(NamedTuple):
    documents: DocumentStore
    areas: Mapping[Area, ObjectStore]
    vectors: VectorIndex
    embedder: Embedder
    levels: TwoLevels | None
    queue: JobQueue


def _join(opened: _Opened, settings: Settings, metrics: Metrics) -> Services:
    documents, areas, index, embedder, levels, queue = opened
    kept, job_store = documents, documents.jobs
    if levels:
        kept = CachedDocuments(documents, levels, trusts_records=False)
        documents = CachedDocuments(documents, levels)
        if settings.cache_bytes:
            index = CachedIndex(index, replace(levels, shared=None))
    assets = AssetService(
        documents=kept,
        objects=areas["originals"],
        derived=areas["derived"],
        index=index,
        embedder=embedder,
        fetcher=_fetcher(settings),
        metrics=metrics,
        now=_now,
        grace_s=grace_s(settings),
    )
    embeddings = EmbeddingService(documents, embedder, assets)
    job_stores = job_store, queue, areas["results"]
    jobs = job_service(job_stores, assets, embeddings, settings)
    links = Signer(_link_key(settings))
    limit = settings.max_image_bytes
    renderer = PillowRenderer(image_limits(settings))
    return Services(
        assets=assets,
        uploads=UploadService(areas["incoming"], assets, links, limit, _now),
        downloads=DownloadService(areas["originals"], _content(settings)),
        renditions=open_renditions(assets, areas["derived"], settings),
        embeddings=embeddings,
        features=FeatureService(embedder, assets, renderer),
        search=SearchService(documents, index, embeddings, metrics),
        similarity=SimilarityService(embeddings),
        models=ModelService(documents, embedder),
        health=HealthService(
            documents,
            areas["originals"],
            embedder,
            index,
            queue,
            levels and levels.shared,
        ),
        jobs=jobs,
        watching=JobWatching(jobs),
        links=links,
    )
