"""Nearest vectors in Qdrant, by its own client, which is an extra of ours."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, Self
from uuid import UUID, uuid5

import numpy as np

from dinoserve.domain.similarity import nearest_rows
from dinoserve.domain.vectors import Matrix, Vector
from dinoserve.errors import StartUpError, UnavailableError
from dinoserve.ports import Nearest, Space

_PREFIX: Final = "dinoserve-"
# Names of points are UUIDs; this one (random, and never changed) is where ours begin.
_POINTS: Final = UUID("6f0c2b0e-0a3f-4b1c-9a52-3d1f0f6f7f55")
_BATCH: Final = 256
_PAGE: Final = 10_000
# Asked for beyond k: Qdrant orders ties its own way.
_SPARE: Final = 32
_TIMEOUT_S: Final = 30


class QdrantIndex:
    """`ports.VectorIndex` over a Qdrant server: a collection of its for each recipe.

    Scores are computed anew from the float32 vectors that it gives back.

    Args:
        client: `AsyncQdrantClient`.
        is_local: the client compares by itself, without a server.

    Raises:
        ValueError: a width that differs from the recipe's, or k below 1.
        UnavailableError: the server does not answer.
    """

    reads_store = False

    def __init__(self, client: Any, *, is_local: bool = False) -> None:
        self._client = client
        self._is_local = is_local
        self._models: Any = import_module("qdrant_client.models")
        self._widths: dict[str, int] = {}
        self._making = asyncio.Lock()

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, key: str | None = None) -> AsyncGenerator[Self]:
        """Yield the index of a server.

        Args:
            url: `http://…` or `https://…`; `:memory:` compares in this process.
            key: API key of the server.

        Raises:
            StartUpError: the client is not installed.
        """
        if find_spec("qdrant_client") is None:
            raise StartUpError(
                "Qdrant needs its client: pip install 'dinoserve[qdrant]'."
            )
        is_local = url == ":memory:"
        where = {"location": url} if is_local else {"url": url}
        make: Any = import_module("qdrant_client").AsyncQdrantClient
        # What the versions differ in is told by the first request as well.
        client = make(
            **where, api_key=key, timeout=_TIMEOUT_S, check_compatibility=False
        )
        try:
            yield cls(client, is_local=is_local)
        finally:
            await client.close()

    async def upsert(self, space: Space, ids: Sequence[str], vectors: Matrix) -> None:
        """Add or replace rows: float32 (len(ids), d), unit length."""
        if vectors.ndim != 2 or len(ids) != len(vectors):  # noqa: PLR2004 - a matrix
            raise ValueError(f"{len(ids)} ids came with vectors {vectors.shape}")
        if not ids:
            return
        with _failures():
            await self._check_width(space, vectors.shape[1], make=True)
            for start in range(0, len(ids), _BATCH):
                some = ids[start : start + _BATCH]
                rows = vectors[start : start + _BATCH]
                points = await asyncio.to_thread(self._points, space, some, rows)
                await self._client.upsert(_name(space.recipe), points, wait=True)

    async def delete(self, space: Space, ids: Collection[str]) -> None:
        """Remove rows. Absent: nothing happens."""
        names = [_point(space, asset_id) for asset_id in ids]
        with _failures():
            if not names or not await self._width(space.recipe):
                return
            chosen = self._models.PointIdsList(points=names)
            await self._client.delete(_name(space.recipe), chosen, wait=True)

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
        if k < 1:
            raise ValueError(f"k is {k}, but must be at least 1")
        is_exact = exact or self._is_local
        with _failures():
            if not await self._check_width(space, len(query)):
                return Nearest([], "qdrant", is_exact)
            where = await asyncio.to_thread(self._where, space, among)
            # In this process it is always so, and asking for it warns.
            how = None if self._is_local else self._models.SearchParams(exact=exact)
            found = await self._client.query_points(
                _name(space.recipe),
                query=query.tolist(),
                query_filter=where,
                search_params=how,
                limit=k + _SPARE,
                with_vectors=True,
            )
        points: list[Any] = found.points
        ids: list[str] = [point.payload["asset"] for point in points]
        rows = np.array([point.vector for point in points], np.float32)
        rows = rows.reshape(len(points), len(query))
        hits = await asyncio.to_thread(nearest_rows, ids, rows, query, k)
        return Nearest(hits, "qdrant", is_exact)

    async def retain(self, recipe: str, kept: Mapping[str, Collection[str]]) -> None:
        """Remove every row of the recipe that is not named here.

        Other recipes stay: another server may serve them.
        """
        names = await asyncio.to_thread(_named, recipe, kept)
        with _failures():
            await self._retain(recipe, names)

    async def count(self, space: Space) -> int:
        """Return how many vectors the space holds. Absent: 0."""
        with _failures():
            if not await self._width(space.recipe):
                return 0
            where = self._where(space, None)
            found = await self._client.count(_name(space.recipe), where, exact=True)
            return int(found.count)

    async def ping(self) -> str:
        """Return name and version of the server."""
        with _failures():
            told = await self._client.info()
        return f"Qdrant {told.version}"

    async def _retain(self, recipe: str, names: Collection[str]) -> None:
        place: Any = None
        while await self._width(recipe):
            points, place = await self._client.scroll(
                _name(recipe), limit=_PAGE, offset=place, with_payload=False
            )
            gone = [point.id for point in points if str(point.id) not in names]
            if gone:
                chosen = self._models.PointIdsList(points=gone)
                await self._client.delete(_name(recipe), chosen, wait=True)
            if place is None:
                return

    async def _check_width(
        self, space: Space, width: int, *, make: bool = False
    ) -> bool:
        """Tell whether there is a collection, whose width this must be."""
        held = await self._width(space.recipe)
        if not held and make:
            held = await self._made(space.recipe, width)
        if held and held != width:
            raise ValueError(f"width {width} met rows of {held}")
        return bool(held)

    async def _width(self, recipe: str) -> int:
        """Return the width of the recipe's collection; 0: there is none."""
        if recipe not in self._widths:
            name = _name(recipe)
            if not await self._client.collection_exists(name):
                return 0
            told = await self._client.get_collection(name)
            self._widths[recipe] = int(told.config.params.vectors.size)
        return self._widths[recipe]

    async def _made(self, recipe: str, width: int) -> int:
        async with self._making:
            if held := await self._width(recipe):
                return held
            # Unit vectors as they are: its cosine would scale them once more.
            vectors = self._models.VectorParams(
                size=width, distance=self._models.Distance.DOT
            )
            name = _name(recipe)
            try:
                await self._client.create_collection(name, vectors_config=vectors)
            except _unexpected():
                # Another process may have been first.
                if not await self._client.collection_exists(name):
                    raise
            if not self._is_local:
                await self._client.create_payload_index(name, "collection", "keyword")
            return await self._width(recipe)

    def _points(self, space: Space, ids: Sequence[str], rows: Matrix) -> Any:
        payloads = [{"collection": space.collection, "asset": key} for key in ids]
        names = [_point(space, key) for key in ids]
        return self._models.Batch(ids=names, vectors=rows.tolist(), payloads=payloads)

    def _where(self, space: Space, among: Collection[str] | None) -> Any:
        here = self._models.MatchValue(value=space.collection)
        must = [self._models.FieldCondition(key="collection", match=here)]
        if among is not None:
            names = [_point(space, asset_id) for asset_id in among]
            must.append(self._models.HasIdCondition(has_id=names))
        return self._models.Filter(must=must)


def _name(recipe: str) -> str:
    return f"{_PREFIX}{recipe}"


def _point(space: Space, asset_id: str) -> str:
    return str(uuid5(_POINTS, f"{space.collection}/{asset_id}"))


def _named(recipe: str, kept: Mapping[str, Collection[str]]) -> set[str]:
    return {
        _point(Space(name, recipe), key) for name, ids in kept.items() for key in ids
    }


def _unexpected() -> type[Exception]:
    errors: Any = import_module("qdrant_client.http.exceptions")
    return errors.UnexpectedResponse


@contextmanager
def _failures() -> Generator[None]:
    """Tell of a server that does not answer, or not as asked, as unavailable."""
    errors: Any = import_module("qdrant_client.http.exceptions")
    try:
        yield
    except errors.ApiException as error:
        raise UnavailableError(
            "Qdrant did not answer as it should; try again.", port="index"
        ) from error
