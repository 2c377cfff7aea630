"""What the service tells about itself: counters, histograms, log format."""

import logging
import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

request_id: ContextVar[str] = ContextVar("request_id", default="-")

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Every figure `/metrics` shows, in a registry of its own.

    Attributes:
        requests: HTTP answers by route template, method and status.
        request_seconds: time to the last byte, by route template.
        stages: seconds an image or request spends in `fetch`, `decode`, `wait`,
            `forward`, `store`, `search`, `render`.
        batch_images: images per forward.
        images: images by outcome: `embedded`, `refused`, `failed`, `dropped`.
        waiting: images admitted to the engine and not yet answered.
        waiting_bulk: those of them that are bulk.
        oldest_seconds: since the oldest of them was admitted; 0 if none waits.
        batch_tokens_limit: tokens that may share a forward; lower once memory ran out.
        fallbacks: engines passed over at load, see `engine.fastest`.
        engine_healthy: 1 if the last forward worked.
        collected: objects removed that belonged to no asset, by what they were:
            `unfinished`, `originals`, `derived`, `incoming`.
        index: 1 for the kind of index that searches: `memory`, `mongodb`.
        searches: by what served them: `scan`, `graph`, `mongodb`.
        index_recall: share of the true hits that a graph found, of searches sampled.
        index_built: share of the running build of the index that is done; 1: none runs.
        index_builds: builds of the index by outcome: `done`, `failed`.
        cache_hits: values found, by kind and level: `local`, `shared`.
        cache_misses: values found in no level, by kind.
        cache_evictions: values that gave way in this process, by kind.
        cache_bytes: held in this process, by kind.
        cache_refused: values of the shared cache that failed their checksum.
        cache_shared_up: 1 if the shared cache answered last.
        queue_up: 1 if the queue answered last.
        jobs: that ended, by kind and state.
        job_chunks: seconds one chunk took, by kind.
        dead_letters: chunks that were buried, by kind.
        graph_up: 1 if the place that follows the graph answered last, by follower.
        graph_waiting: changes that a follower lacks, counted up to 10,000.
        graph_aside: those of them that failed alone and are tried later, by follower.
        graph_marks: by follower and outcome: `applied`; `set_aside`: failed alone;
            `failed`: the follower was away.
    """

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry
        self.requests = Counter(
            "dinoserve_http_requests",
            "HTTP answers",
            ["route", "method", "status"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "dinoserve_http_request_seconds",
            "Seconds from request to last byte",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.stages = Histogram(
            "dinoserve_stage_seconds",
            "Seconds by stage",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_images = Histogram(
            "dinoserve_batch_images",
            "Images per forward",
            buckets=_BATCHES,
            registry=registry,
        )
        self.images = Counter(
            "dinoserve_images", "Images by outcome", ["outcome"], registry=registry
        )
        self.waiting = Gauge(
            "dinoserve_engine_waiting_images",
            "Images admitted and not yet answered",
            registry=registry,
        )
        self.waiting_bulk = Gauge(
            "dinoserve_engine_waiting_bulk_images",
            "Bulk images admitted and not yet answered",
            registry=registry,
        )
        self.oldest_seconds = Gauge(
            "dinoserve_engine_oldest_seconds",
            "Seconds since the oldest waiting image was admitted",
            registry=registry,
        )
        self.batch_tokens_limit = Gauge(
            "dinoserve_engine_batch_tokens_limit",
            "Tokens that may share a forward",
            registry=registry,
        )
        self.fallbacks = Counter(
            "dinoserve_engine_fallbacks",
            "Engines that did not prove equal to float32 and were passed over",
            ["engine", "precision"],
            registry=registry,
        )
        self.engine_healthy = Gauge(
            "dinoserve_engine_healthy",
            "1 if the last forward worked",
            registry=registry,
        )
        self.collected = Counter(
            "dinoserve_collected_objects",
            "Objects removed that belonged to no asset",
            ["what"],
            registry=registry,
        )
        self.index = Gauge(
            "dinoserve_index",
            "1 for the kind of index that searches",
            ["kind"],
            registry=registry,
        )
        self._count_index(registry)
        self._count_cache(registry)
        self._count_graph(registry)

    def _count_index(self, registry: CollectorRegistry) -> None:
        self.searches = Counter(
            "dinoserve_searches",
            "Searches by what served them",
            ["path"],
            registry=registry,
        )
        self.index_recall = Histogram(
            "dinoserve_index_recall",
            "Share of the true hits that a graph found, of searches sampled",
            buckets=(0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0),
            registry=registry,
        )
        self.index_built = Gauge(
            "dinoserve_index_built_ratio",
            "Share of the running build of the index that is done; 1: none runs",
            registry=registry,
        )
        self.index_built.set(1)
        self.index_builds = Counter(
            "dinoserve_index_builds",
            "Builds of the index by outcome",
            ["outcome"],
            registry=registry,
        )

    def _count_cache(self, registry: CollectorRegistry) -> None:
        self.cache_hits = Counter(
            "dinoserve_cache_hits",
            "Values found in the cache",
            ["kind", "level"],
            registry=registry,
        )
        self.cache_misses = Counter(
            "dinoserve_cache_misses",
            "Values found in no level of the cache",
            ["kind"],
            registry=registry,
        )
        self.cache_evictions = Counter(
            "dinoserve_cache_evictions",
            "Values that gave way in this process",
            ["kind"],
            registry=registry,
        )
        self.cache_bytes = Gauge(
            "dinoserve_cache_bytes",
            "Bytes the cache holds in this process",
            ["kind"],
            registry=registry,
        )
        self.cache_refused = Counter(
            "dinoserve_cache_refused",
            "Values of the shared cache that were damaged and not used",
            registry=registry,
        )
        self.cache_shared_up = Gauge(
            "dinoserve_cache_shared_up",
            "1 if the shared cache answered last",
            registry=registry,
        )
        self.queue_up = Gauge(
            "dinoserve_queue_up", "1 if the queue answered last", registry=registry
        )
        self.jobs = Counter(
            "dinoserve_jobs",
            "Jobs that ended, by kind and state",
            ["kind", "state"],
            registry=registry,
        )
        self.job_chunks = Histogram(
            "dinoserve_job_chunk_seconds",
            "Seconds one chunk of a job took",
            ["kind"],
            registry=registry,
        )
        self.dead_letters = Counter(
            "dinoserve_dead_letters",
            "Chunks that were buried, by kind",
            ["kind"],
            registry=registry,
        )

    def _count_graph(self, registry: CollectorRegistry) -> None:
        self.graph_up = Gauge(
            "dinoserve_graph_up",
            "1 if the place that follows the graph answered last",
            ["follower"],
            registry=registry,
        )
        self.graph_waiting = Gauge(
            "dinoserve_graph_waiting_marks",
            "Changes of the graph that the follower lacks, counted up to 10,000",
            ["follower"],
            registry=registry,
        )
        self.graph_aside = Gauge(
            "dinoserve_graph_set_aside_marks",
            "Those of them that it failed on alone and is told again later",
            ["follower"],
            registry=registry,
        )
        self.graph_marks = Counter(
            "dinoserve_graph_marks",
            "Changes of the graph that were applied, set aside, or failed",
            ["follower", "outcome"],
            registry=registry,
        )

    @contextmanager
    def stage(self, name: str) -> Generator[None]:
        """Measure the block as one observation of the stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stages.labels(name).observe(time.perf_counter() - start)

    def render(self) -> bytes:
        """Return the figures in Prometheus' text format."""
        return generate_latest(self._registry)


class _RequestIdFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request_id.get()
        return True


class _OneLine(logging.Formatter):
    """Keeps what callers send from starting a line of its own in the log."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        line = super().formatMessage(record)
        return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def configure_logging(level: str) -> None:
    """Send the log to standard error, one line an event, request id included."""
    handler = logging.StreamHandler()
    handler.addFilter(_RequestIdFilter())
    handler.setFormatter(
        _OneLine("%(asctime)s %(levelname)-7s %(name)s [%(request_id)s] %(message)s")
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Some of these would log whole URLs, or what the banner says already.
    for chatty in ("httpx2", "httpcore2", "uvicorn.error", "filelock"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
