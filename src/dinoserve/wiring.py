"""The only place that names adapters: settings in, services or the web app out."""

import logging
import secrets
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from fastapi import FastAPI

from dinoserve.adapters.data_folder import claim_folder, kept_key
from dinoserve.adapters.exact_index import ExactIndex
from dinoserve.adapters.fetch import DisabledFetcher, FetchLimits, GuardedFetcher
from dinoserve.adapters.memory_cache import MemoryCache
from dinoserve.adapters.objects import secret_key
from dinoserve.adapters.redis_cache import RedisCache
from dinoserve.domain.links import KEY_BYTES, Signer
from dinoserve.engine.renderer import PillowRenderer
from dinoserve.errors import StartUpError, UnavailableError, UnsafeBindError
from dinoserve.loading import image_limits, open_embedder
from dinoserve.ports import (
    DocumentStore,
    Embedder,
    ImageFetcher,
    ObjectStore,
    VectorIndex,
)
from dinoserve.services import Services
from dinoserve.services.assets import AssetService
from dinoserve.services.cached_documents import CachedDocuments
from dinoserve.services.cached_embedder import CachedEmbedder
from dinoserve.services.cached_index import CachedIndex
from dinoserve.services.caching import CachePolicy, TwoLevels
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.features import FeatureService
from dinoserve.services.following import in_step
from dinoserve.services.health import HealthService
from dinoserve.services.models import ModelService
from dinoserve.services.search import SearchService
from dinoserve.services.similarity import SimilarityService
from dinoserve.services.sweeping import swept
from dinoserve.setting_values import key_digest
from dinoserve.settings import Settings
from dinoserve.stores import (
    change_feed,
    grace_s,
    has_folder,
    open_documents,
    open_objects,
)
from dinoserve.telemetry import Metrics
from dinoserve.web.app import OpenServices, create_app
from dinoserve.web.deps import WebOptions
from dinoserve.web.middleware import is_loopback

_log = logging.getLogger(__name__)


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


async def _open(
    settings: Settings, metrics: Metrics, stack: AsyncExitStack
) -> Services:
    if has_folder(settings):
        stack.enter_context(claim_folder(settings.data))
    documents = await open_documents(settings, stack)
    objects = await open_objects(settings)
    embedder: Embedder = await open_embedder(settings, metrics, stack)
    levels = await open_cache(settings, metrics, stack)
    if levels:
        limit = settings.max_request_patches
        embedder = CachedEmbedder.over(embedder, levels, limit)
    services = _join(documents, objects, embedder, levels, settings, metrics)
    await stack.enter_async_context(swept(services.assets))
    await services.models.announce()
    feed = change_feed(documents)
    count = await stack.enter_async_context(in_step(services.search, feed))
    _log.info("%d vectors are searchable", count)
    return services


async def open_cache(
    settings: Settings, metrics: Metrics, stack: AsyncExitStack
) -> TwoLevels | None:
    """Return the cache, None if there shall be none; errors as `RedisCache.open`."""
    shared = None
    if settings.redis:
        opened = RedisCache.open(settings.redis.get_secret_value(), metrics)
        shared = await stack.enter_async_context(opened)
    elif not settings.cache_bytes:
        return None
    policy = CachePolicy(
        ttl_s=settings.cache_ttl_s,
        changing_ttl_s=settings.cache_changing_ttl_s,
        absent_ttl_s=settings.cache_absent_ttl_s,
        local_ttl_s=settings.cache_local_ttl_s,
        max_value_bytes=settings.cache_max_value_bytes,
    )
    local = MemoryCache(settings.cache_bytes, metrics)
    return TwoLevels(local, shared, policy, metrics)


def _link_key(settings: Settings) -> bytes:
    if settings.link_key:
        return secret_key("DINOSERVE_LINK_KEY", settings.link_key)
    if has_folder(settings):
        return kept_key(settings.data, KEY_BYTES)
    return secrets.token_bytes(KEY_BYTES)


def _fetcher(settings: Settings) -> ImageFetcher:
    if not settings.fetch_urls:
        return DisabledFetcher()
    return GuardedFetcher(
        FetchLimits(
            timeout_s=settings.fetch_timeout_s, max_bytes=settings.max_image_bytes
        )
    )


def _join(
    documents: DocumentStore,
    objects: ObjectStore,
    embedder: Embedder,
    levels: TwoLevels | None,
    settings: Settings,
    metrics: Metrics,
) -> Services:
    index: VectorIndex = ExactIndex()
    kept = documents
    if levels:
        kept = CachedDocuments(documents, levels, trusts_records=False)
        documents = CachedDocuments(documents, levels)
        if settings.cache_bytes:
            index = CachedIndex(index, replace(levels, shared=None))
    assets = AssetService(
        documents=kept,
        objects=objects,
        index=index,
        embedder=embedder,
        fetcher=_fetcher(settings),
        metrics=metrics,
        now=lambda: datetime.now(UTC),
        grace_s=grace_s(settings),
    )
    embeddings = EmbeddingService(documents, embedder, assets)
    renderer = PillowRenderer(image_limits(settings))
    return Services(
        assets=assets,
        embeddings=embeddings,
        features=FeatureService(embedder, assets, renderer),
        search=SearchService(documents, index, embeddings, metrics),
        similarity=SimilarityService(embeddings),
        models=ModelService(documents, embedder),
        health=HealthService(documents, objects, embedder),
        links=Signer(_link_key(settings)),
    )
