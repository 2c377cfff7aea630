"""What the tests of the engine share: figures, and an embedder that a test can hold."""

from collections.abc import AsyncIterator

import pytest

from dinoserve.engine.embedder import QueuedEmbedder
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
