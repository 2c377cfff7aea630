"""`MongoIndex`: the nearest vectors as MongoDB finds them, and what is newer."""

import asyncio
import heapq
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

from dinoserve.adapters.mongo import search
from dinoserve.adapters.mongo.database import Database
from dinoserve.domain.similarity import Hit
from dinoserve.domain.vectors import Matrix, Vector
from dinoserve.errors import StartUpError, UnavailableError
from dinoserve.ports import Nearest, Space, VectorIndex

_log = logging.getLogger(__name__)

# MongoDB's search process is behind by a second as a rule; nothing bounds it.
SETTLING_S: Final = 600.0
# Of each space beside MongoDB: 150 MB of 384 numbers each.
_MOST_RECENT = 100_000
# Asked for beyond k: MongoDB orders equal vectors as it likes.
_SPARE = 64
# So many vectors are read at once: 32 MiB of the widest.
_FEW = 2_000

_PAUSE_S = 1.0
_TELL_EVERY_S = 10.0
_BUILD_S = 600.0


class MongoIndex:
    """`ports.VectorIndex` in MongoDB, for vectors of one dimension.

    It searches what the document store keeps. What was given or deleted lately is
    answered for by this process, as MongoDB's search process may not have seen it.
    Methods that ask MongoDB raise UnavailableError when it fails.

    Args:
        database: open, and its search index ready: see `prepare`.
        dimension: numbers in a vector.
        recent: empty; holds what was given lately.
        settling_s: seconds until MongoDB is trusted to know of a change.
        clock: tells seconds.

    Raises:
        ValueError: a width that differs from the dimension, or k below 1.
    """

    reads_store = True

    def __init__(
        self,
        database: Database,
        dimension: int,
        recent: VectorIndex,
        settling_s: float = SETTLING_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._dimension = dimension
        self._recent = recent
        self._settling_s = settling_s
        self._clock = clock
        # When each changed, the longest ago first; of them, those that were deleted.
        self._changed: defaultdict[Space, dict[str, float]] = defaultdict(dict)
        self._gone: defaultdict[Space, set[str]] = defaultdict(set)
        self._changing = asyncio.Lock()

    async def upsert(self, space: Space, ids: Sequence[str], vectors: Matrix) -> None:
        """Tell of rows that were stored: float32 (len(ids), d), unit length."""
        self._check_width(vectors.shape[-1])
        async with self._changing:
            await self._recent.upsert(space, ids, vectors)
            await self._note(space, ids)

    async def delete(self, space: Space, ids: Collection[str]) -> None:
        """Tell of rows that were erased. Absent: nothing happens."""
        async with self._changing:
            await self._recent.delete(space, ids)
            self._gone[space].update(ids)
            await self._note(space, ids)

    async def search(
        self,
        space: Space,
        query: Vector,
        k: int,
        among: Collection[str] | None,
        *,
        exact: bool = False,
    ) -> Nearest:
        """Return the k greatest cosines, best first, ties by ascending asset id."""
        self._check_width(len(query))
        fresh = await self._recent.search(space, query, k, among)
        if among is None:
            settled = await self._nearest(space, query, k, exact=exact)
        else:
            settled = await self._nearest_among(
                space, query, k, set(among), exact=exact
            )
        gone = self._gone[space]
        hits = {hit.asset_id: hit for hit in settled if hit.asset_id not in gone}
        hits |= {hit.asset_id: hit for hit in fresh.hits}
        return Nearest(_best(hits.values(), k), "mongodb", exact)

    async def retain(self, recipe: str, kept: Mapping[str, Collection[str]]) -> None:
        """Do nothing: nothing outlives the process but the document store."""

    async def count(self, space: Space) -> int:
        """Return how many vectors of the space are stored."""
        return await self._database.run(search.count, space)

    async def ping(self) -> str:
        """Return the state of the search index; raise UnavailableError without one."""
        name = search.index_name(self._dimension)
        try:
            found = await self._database.run(search.find_index, self._dimension)
        except StartUpError as error:
            raise UnavailableError(error.detail, port="index") from error
        if not (found and found.get("queryable")):
            raise UnavailableError(
                f"MongoDB's search index {name} is gone or cannot be asked; a restart"
                " makes it anew.",
                port="index",
            )
        recent = sum(map(len, self._changed.values()))
        return (
            f"approximate, MongoDB vector search, {name} {found.get('status')},"
            f" {recent} recent changes"
        )

    async def _nearest(
        self, space: Space, query: Vector, k: int, *, exact: bool
    ) -> list[Hit]:
        limit = self._limit(space, k)
        return await self._database.run(
            search.nearest, space, query, limit, exact=exact
        )

    async def _nearest_among(
        self, space: Space, query: Vector, k: int, among: set[str], *, exact: bool
    ) -> list[Hit]:
        ids = list(among)
        if len(ids) > _FEW and not exact:
            near = await self._database.run(
                search.nearest_ids, space, query, search.MOST_CANDIDATES
            )
            meant = [asset_id for asset_id in near if asset_id in among]
            limit = self._limit(space, k)
            ids = meant[:limit] if len(meant) >= limit else ids
        best: list[Hit] = []
        for start in range(0, len(ids), _FEW):
            some = ids[start : start + _FEW]
            best += await self._database.run(search.compare, space, query, some, k)
            best = _best(best, k)
        return best

    def _limit(self, space: Space, k: int) -> int:
        """Return how many to ask for, so that k are left of them."""
        return min(k + _SPARE + len(self._gone[space]), search.MOST_CANDIDATES)

    async def _note(self, space: Space, ids: Iterable[str]) -> None:
        """Remember that these changed now, and forget what changed long ago."""
        now = self._clock()
        changed = self._changed[space]
        for asset_id in ids:
            changed.pop(asset_id, None)
            changed[asset_id] = now
        settled = self._settled(changed, now)
        self._gone[space].difference_update(settled)
        await self._recent.delete(space, settled)

    def _settled(self, changed: dict[str, float], now: float) -> list[str]:
        """Return what changed so long ago that it need not be remembered; forget it."""
        settled: list[str] = []
        for asset_id, since in changed.items():
            remembered = len(changed) - len(settled)
            if since + self._settling_s > now and remembered <= _MOST_RECENT:
                break
            settled.append(asset_id)
        for asset_id in settled:
            del changed[asset_id]
        return settled

    def _check_width(self, width: int) -> None:
        if width != self._dimension:
            raise ValueError(f"width {width} met vectors of {self._dimension}")


async def prepare(database: Database, dimension: int) -> None:
    """See that the database has the search index, and wait until it can be asked.

    Raises:
        StartUpError: the server has no vector search; an index of that name is not as
            ours; or building it failed or took longer than ten minutes.
    """
    name = search.index_name(dimension)
    if await database.run(search.find_index, dimension) is None:
        _log.info("making the search index %s in MongoDB", name)
        await database.run(search.create_index, dimension)
    start = told = time.monotonic()
    while not await _is_ready(database, dimension):
        now = time.monotonic()
        if now - start >= _BUILD_S:
            raise StartUpError(
                f"MongoDB's search index {name} is not ready after {_BUILD_S:.0f} s."
                " It goes on being built: start again later, or set"
                " DINOSERVE_INDEX=memory."
            )
        if now - told >= _TELL_EVERY_S:
            told = now
            _log.info("waiting for %s to be built since %.0f s", name, now - start)
        await asyncio.sleep(_PAUSE_S)


async def _is_ready(database: Database, dimension: int) -> bool:
    found = await database.run(search.find_index, dimension)
    if found is None:
        return False
    if found.get("status") == "FAILED":
        raise StartUpError(
            f"MongoDB could not build the search index {found['name']}; its own log"
            " tells why. Drop that search index and start again, or set"
            " DINOSERVE_INDEX=memory."
        )
    if not found.get("queryable"):
        return False
    search.check_index(found, dimension)
    return True


def _best(hits: Iterable[Hit], k: int) -> list[Hit]:
    return heapq.nsmallest(k, hits, key=lambda hit: (-hit.score, hit.asset_id))
