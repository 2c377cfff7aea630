"""What the tests of the engine share: figures, and an embedder that a test can hold."""

from collections.abc import AsyncIterator

import pytest

from dinoserve.domain.jobs import Job
from dinoserve.engine.embedder import QueuedEmbedder
from dinoserve.services.job_erasure import JobErasure
from dinoserve.telemetry import Metrics
from guarded_forward import GuardedForward, serving


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def forward() -> GuardedForward:
    return GuardedForward()


@pytest.fixture
async def embedder(
    forward: GuardedForward, metrics: Metrics
) -> AsyncIterator[QueuedEmbedder]:
    async with serving(forward, metrics) as embedder:
        yield embedder


@pytest.fixture
def parts_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of jobs that are over are there, as nobody came to erase them yet."""
    monkeypatch.setattr(JobErasure, "tidy", _leave)


async def _leave(erasure: JobErasure, job: Job) -> None:
    del erasure, job
