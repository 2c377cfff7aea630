"""Health: is the model ready, and does every port answer."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from dinoserve.errors import DinoserveError
from dinoserve.ports import (
    Cache,
    DocumentStore,
    Embedder,
    JobQueue,
    Knowledge,
    ObjectStore,
    RelationCopy,
    VectorIndex,
)

_PING_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class PortHealth:
    """One port: does it answer, what is it, how long did it take.

    Attributes:
        detail: name and version, or why it does not answer.
    """

    name: str
    is_ok: bool
    detail: str
    took_ms: float


@dataclass(frozen=True, slots=True)
class HealthService:
    """Asks the ports how they are.

    Attributes:
        cache: the one that processes share; None if there is none.
        graph: what follows the relations; None if nothing does.
        knowledge: what answers questions; None if nothing does.
    """

    documents: DocumentStore
    objects: ObjectStore
    embedder: Embedder
    index: VectorIndex
    queue: JobQueue
    cache: Cache | None = None
    graph: RelationCopy | None = None
    knowledge: Knowledge | None = None

    async def model(self) -> PortHealth:
        """Tell whether the model computes; this alone decides readiness."""
        return await _ask("embedder", self._check_model)

    async def ports(self) -> list[PortHealth]:
        """Ask every port, all at once; a port that hangs is answered for."""
        asked = [
            self.model(),
            _ask("documents", self.documents.ping),
            _ask("objects", self.objects.ping),
            _ask("index", self.index.ping),
            _ask("queue", self.queue.ping),
        ]
        if self.cache:
            asked.append(_ask("cache", self.cache.ping))
        if self.graph:
            asked.append(_ask("graph", self.graph.ping))
        if self.knowledge:
            asked.append(_ask("pathrag", self.knowledge.ping))
        return await asyncio.gather(*asked)

    async def _check_model(self) -> str:
        await self.embedder.check()
        recipe = self.embedder.card.recipe
        return f"{recipe.model}, recipe {recipe.id}"


async def _ask(name: str, ping: Callable[[], Awaitable[str]]) -> PortHealth:
    start = time.perf_counter()
    try:
        async with asyncio.timeout(_PING_TIMEOUT_S):
            detail, is_ok = await ping(), True
    except DinoserveError as error:
        detail, is_ok = error.detail, False
    except TimeoutError:
        detail, is_ok = f"no answer within {_PING_TIMEOUT_S:g} s", False
    return PortHealth(name, is_ok, detail, (time.perf_counter() - start) * 1000)
