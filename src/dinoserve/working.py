"""From services to jobs: which kinds there are, and who works on them."""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dinoserve.domain.jobs import Message, Patience
from dinoserve.errors import StartUpError, UnavailableError
from dinoserve.ports import Handler, ImageListing, JobQueue, JobStore, ObjectStore
from dinoserve.services.assets import AssetService
from dinoserve.services.dispatching import Dispatcher, dispatched
from dinoserve.services.duplicates import DuplicateService
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.groups import GroupService
from dinoserve.services.job_erasure import JobErasure, erasing
from dinoserve.services.job_kinds import JobKind
from dinoserve.services.job_results import JobResults
from dinoserve.services.job_runner import JobRunner
from dinoserve.services.jobs import JobService
from dinoserve.services.kinds.asset_sets import AssetSets
from dinoserve.services.kinds.compact import CompactKind
from dinoserve.services.kinds.duplicates import DuplicatesKind
from dinoserve.services.kinds.embed import EmbedKind
from dinoserve.services.kinds.erase import EraseKind
from dinoserve.services.kinds.export import ExportKind
from dinoserve.services.kinds.groups import GroupsKind
from dinoserve.services.kinds.ingest import IngestKind
from dinoserve.services.kinds.network import NetworkKind
from dinoserve.services.kinds.quality import QualityKind
from dinoserve.services.kinds.reembed import ReembedKind
from dinoserve.services.kinds.regions import RegionsKind
from dinoserve.services.kinds.sequence import SequenceKind
from dinoserve.services.kinds.similarity import SimilarityKind
from dinoserve.services.quality import QualityService
from dinoserve.services.regions import RegionService
from dinoserve.services.renditions import RenditionService
from dinoserve.services.sequences import SequenceService
from dinoserve.settings import Settings
from dinoserve.stores import image_listings, table_writer
from dinoserve.telemetry import Metrics

_log = logging.getLogger(__name__)
_FORGET_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the kinds of jobs work with."""

    assets: AssetService
    embeddings: EmbeddingService
    quality: QualityService
    duplicates: DuplicateService
    groups: GroupService
    regions: RegionService
    sequences: SequenceService
    renditions: RenditionService


def patience_of(settings: Settings) -> Patience:
    """Return how long workers are waited for."""
    return Patience(lease_s=settings.job_lease_s)


def job_service(
    stores: tuple[JobStore, JobQueue, ObjectStore],
    uses: Capabilities,
    settings: Settings,
) -> JobService:
    """Return the jobs of these services.

    Args:
        stores: of records, of messages and of results.
        uses: what the kinds of jobs work with.
        settings: how many and how long.
    """
    store, queue, results = stores
    dispatcher = Dispatcher(store, queue, _now, patience_of(settings))
    kept = JobResults(results)
    kinds = _kinds(uses, kept, image_listings(settings))
    return JobService(
        store,
        dispatcher,
        kinds,
        kept,
        _now,
        settings.max_waiting_chunks,
    )


def job_erasure(
    store: JobStore, results: ObjectStore, settings: Settings
) -> JobErasure:
    """Return what erases of these jobs what nobody needs, or may have, any more."""
    return JobErasure(store, JobResults(results), _now, settings.job_lease_s)


@dataclass(frozen=True, slots=True)
class Shift:
    """What one process does of the work.

    Attributes:
        slots: chunks at a time; 0: others work on them.
        kinds: of jobs; empty: every kind.
        name: of the worker, told with what it does; empty: the machine's.
        grace_s: seconds that chunks have to end in when the work stops; then they are
            given back.
    """

    slots: int
    kinds: Sequence[str] = ()
    name: str = ""
    grace_s: float = 0.0


@asynccontextmanager
async def working(
    jobs: JobService, shift: Shift, settings: Settings, metrics: Metrics
) -> AsyncGenerator[None]:
    """Work on jobs during the block, and see that none is forgotten too early or late.

    Args:
        jobs: which.
        shift: how many at a time, of which kinds.
        settings: how long.
        metrics: where is counted.

    Raises:
        StartUpError: there is no such kind.
    """
    kinds = _chosen(jobs.kinds, shift.kinds)
    dispatcher = jobs.dispatcher
    runner = JobRunner(
        jobs.store,
        dispatcher,
        jobs.kinds,
        jobs.results,
        _unique(shift.name),
        _now,
        dispatcher.patience,
        metrics,
    )
    forgetting = asyncio.create_task(_keep_forgetting(jobs, settings.jobs_days))
    try:
        async with (
            dispatched(dispatcher),
            erasing(jobs.erasure),
            dispatcher.queue.serve(
                kinds, _to_the_end(runner.handle, shift.grace_s), shift.slots
            ),
        ):
            yield
    finally:
        forgetting.cancel()
        await asyncio.gather(forgetting, return_exceptions=True)


def _kinds(
    uses: Capabilities,
    results: JobResults,
    listings: tuple[ImageListing, ImageListing | None],
) -> Mapping[str, JobKind]:
    assets, embeddings = uses.assets, uses.embeddings
    documents = assets.documents
    sets = AssetSets(documents, results)
    kinds: list[JobKind] = [
        EmbedKind(documents, embeddings),
        ReembedKind(documents, embeddings),
        EraseKind(documents, assets),
        IngestKind(assets, *listings),
        SimilarityKind(documents, embeddings, results, sets),
        NetworkKind(embeddings, results, sets, _now),
        ExportKind(documents, embeddings, results, table_writer()),
        QualityKind(uses.quality, results),
        DuplicatesKind(uses.duplicates, results),
        GroupsKind(uses.groups, results),
        RegionsKind(uses.regions),
        SequenceKind(uses.sequences, uses.renditions, results),
        CompactKind(documents, embeddings, results, _now),
    ]
    return {kind.name: kind for kind in kinds}


async def _keep_forgetting(jobs: JobService, days: float) -> None:
    while True:
        before = _now() - timedelta(days=days)
        try:
            while await jobs.forget_old(before):
                pass
        except UnavailableError as error:
            _log.warning("old jobs are kept for now: %s", error.detail)
        except Exception:  # noqa: BLE001 - else a bug would keep them for good
            _log.exception("old jobs are kept for now")
        await asyncio.sleep(_FORGET_EVERY_S)


def _chosen(known: Collection[str], wanted: Sequence[str]) -> Sequence[str]:
    for kind in wanted:
        if kind not in known:
            raise StartUpError(
                f"There is no kind of job {kind!r}; there are {', '.join(known)}."
            )
    return wanted or [*known]


def _to_the_end(handle: Handler, grace_s: float) -> Handler:
    """Return a handler that goes on for so long when it is cancelled."""

    async def patiently(message: Message) -> None:
        task = asyncio.ensure_future(handle(message))
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task], timeout=grace_s)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise

    return patiently


def _unique(name: str) -> str:
    """Return a name of this process that no other ever has."""
    return f"{name or socket.gethostname()}.{os.getpid()}.{secrets.token_hex(4)}"


def _now() -> datetime:
    return datetime.now(UTC)
