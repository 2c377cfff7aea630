"""From what was opened to services: beside `wiring`, a file that names adapters."""

import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from dinoserve.adapters.clustering import LearnedClustering
from dinoserve.adapters.data_folder import (
    kept_key,
)
from dinoserve.adapters.fetch import DisabledFetcher, FetchLimits, GuardedFetcher
from dinoserve.adapters.objects import secret_key
from dinoserve.domain.links import KEY_BYTES, Signer
from dinoserve.domain.quality_issues import read_thresholds
from dinoserve.engine.renderer import PillowRenderer
from dinoserve.errors import StartUpError
from dinoserve.loading import image_limits, open_renditions
from dinoserve.ports import (
    Area,
    DocumentStore,
    Embedder,
    ImageFetcher,
    JobQueue,
    Knowledge,
    ObjectStore,
    PixelReader,
    VectorIndex,
)
from dinoserve.services import Services
from dinoserve.services.assets import AssetService
from dinoserve.services.cached_documents import CachedDocuments
from dinoserve.services.cached_ids import CachedIds
from dinoserve.services.cached_index import CachedIndex
from dinoserve.services.caching import TwoLevels
from dinoserve.services.calibrations import CalibrationService
from dinoserve.services.character_checks import CharacterCheckService
from dinoserve.services.character_groups import CharacterGroupService
from dinoserve.services.characters import CharacterService
from dinoserve.services.downloads import PROXY, REDIRECT, DownloadService
from dinoserve.services.duplicates import DuplicateService
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.evidence import EvidenceService
from dinoserve.services.features import FeatureService
from dinoserve.services.fingerprints import FingerprintService
from dinoserve.services.graph import GraphService
from dinoserve.services.graph_following import GraphFollower
from dinoserve.services.graph_reading import FollowedCopy, GraphReading
from dinoserve.services.groups import GroupService
from dinoserve.services.health import HealthService
from dinoserve.services.job_watching import JobWatching
from dinoserve.services.knowledge import KnowledgeService
from dinoserve.services.models import ModelService
from dinoserve.services.near_pairs import PairService
from dinoserve.services.quality import Line, QualityService
from dinoserve.services.regions import RegionService
from dinoserve.services.search import SearchService
from dinoserve.services.sequences import SequenceService
from dinoserve.services.similarity import SimilarityService
from dinoserve.services.subjects import SubjectService
from dinoserve.services.uploads import UploadService
from dinoserve.settings import Settings
from dinoserve.stores import (
    grace_s,
    has_folder,
)
from dinoserve.telemetry import Metrics
from dinoserve.working import Capabilities, job_erasure, job_service


class Opened(NamedTuple):
    """What a process has opened."""

    documents: DocumentStore
    areas: Mapping[Area, ObjectStore]
    vectors: VectorIndex
    embedder: Embedder
    pixels: PixelReader
    levels: TwoLevels | None
    queue: JobQueue
    graph: FollowedCopy | None
    knowledge: Knowledge | None
    followers: Sequence[GraphFollower]


def joined(opened: Opened, settings: Settings, metrics: Metrics) -> Services:
    """Return the services over what was opened.

    Args:
        opened: stores, index, engine and queue.
        settings: every choice.
        metrics: where is counted.
    """
    documents, areas, index, embedder, pixels, levels, queue, *_ = opened
    kept, job_store = documents, documents.jobs
    if levels:
        kept = CachedDocuments(documents, levels, trusts_records=False)
        sets = CachedIds(levels.local, settings.cache_changing_ttl_s)
        documents = CachedDocuments(documents, levels, sets=sets)
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
        now=now,
        jobs=job_erasure(job_store, areas["results"], settings),
        evidence=EvidenceService(kept, embedder, now),
        grace_s=grace_s(settings),
    )
    embeddings = EmbeddingService(documents, embedder, assets)
    job_stores = job_store, queue, areas["results"]
    renderer = PillowRenderer(image_limits(settings))
    line = Line(os.cpu_count() or 1, settings.max_waiting_images)
    quality = QualityService(
        embeddings,
        pixels,
        renderer,
        line,
        read_thresholds(settings.quality_thresholds),
    )
    pairs = PairService(FingerprintService(assets, pixels, line), embedder)
    duplicates = DuplicateService(embeddings, pairs)
    clustering = LearnedClustering()
    groups = GroupService(embeddings, clustering)
    search = SearchService(documents, index, embeddings, metrics)
    regions = RegionService(search, embeddings, pixels)
    characters = CharacterService(documents, pixels, now, assets.evidence)
    subjects = SubjectService(characters, embeddings)
    calibrations = CalibrationService(characters, subjects)
    checks = CharacterCheckService(characters, subjects, calibrations, renderer)
    sequences = SequenceService(characters, subjects, calibrations)
    renditions = open_renditions(assets, areas["derived"], settings)
    uses = Capabilities(
        assets,
        embeddings,
        quality,
        duplicates,
        groups,
        regions,
        sequences,
        renditions,
    )
    jobs = job_service(job_stores, uses, settings)
    links = Signer(_link_key(settings))
    return Services(
        assets=assets,
        uploads=UploadService(
            areas["incoming"], assets, links, settings.max_image_bytes, now
        ),
        downloads=DownloadService(areas["originals"], _content(settings)),
        renditions=renditions,
        embeddings=embeddings,
        features=FeatureService(embedder, assets, renderer),
        search=search,
        regions=regions,
        similarity=SimilarityService(embeddings),
        quality=quality,
        duplicates=duplicates,
        groups=groups,
        characters=characters,
        character_checks=checks,
        character_groups=CharacterGroupService(characters, subjects),
        calibrations=calibrations,
        models=ModelService(documents, embedder),
        health=HealthService(
            documents,
            areas["originals"],
            embedder,
            index,
            queue,
            levels and levels.shared,
            opened.graph and opened.graph.follower.copy,
            opened.knowledge,
        ),
        jobs=jobs,
        watching=JobWatching(jobs),
        links=links,
        graph=GraphService(
            documents,
            GraphReading(documents.relations, opened.graph, opened.followers),
            clustering,
            now,
        ),
        knowledge=KnowledgeService(documents, opened.knowledge),
    )


def _link_key(settings: Settings) -> bytes:
    if settings.link_key:
        return secret_key("DINOSERVE_LINK_KEY", settings.link_key)
    if has_folder(settings):
        return kept_key(settings.data, KEY_BYTES)
    return secrets.token_bytes(KEY_BYTES)


def now() -> datetime:
    """Return the time, in UTC."""
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
