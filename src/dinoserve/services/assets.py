"""Assets: keep what is given, change what is said of it, erase it everywhere."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TypeVar

from dinoserve.domain.assets import (
    Asset,
    EmbeddingRef,
    ImageInfo,
    asset_id,
    check_collection,
    check_metadata,
)
from dinoserve.domain.paging import AssetQuery, Page
from dinoserve.domain.renditions import derived_prefix
from dinoserve.domain.vectors import Embedding
from dinoserve.errors import AssetNotFoundError, InvalidInputError, UnavailableError
from dinoserve.ports import (
    AssetChanges,
    DocumentStore,
    Embedder,
    ImageFetcher,
    ObjectStore,
    Space,
    VectorIndex,
)
from dinoserve.services.evidence import EvidenceService
from dinoserve.services.job_erasure import JobErasure
from dinoserve.services.keyed_lock import KeyedLock
from dinoserve.services.spooling import Data, contents_of, holding, sha256_of
from dinoserve.services.upload import Upload, Uploaded
from dinoserve.telemetry import Metrics

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

# Another process erases the same bytes: that takes a moment.
_ERASURE_LOOKS = 100
_ERASURE_PAUSE_S = 0.05
_STORE_TRIES = 3


@dataclass(frozen=True, slots=True)
class AssetService:
    """Keeps, shows, changes and erases assets.

    Attributes:
        jobs: erases what they made of an asset that goes.
        evidence: erases what rests on a reference that goes.
        grace_s: age of a mark from which on its bytes may be erased, longer than any
            upload lasts; 0: nobody else uses the stores.
    """

    documents: DocumentStore
    objects: ObjectStore
    derived: ObjectStore
    index: VectorIndex
    embedder: Embedder
    fetcher: ImageFetcher
    metrics: Metrics
    now: Callable[[], datetime]
    jobs: JobErasure
    evidence: EvidenceService
    grace_s: float = 0
    _lock: KeyedLock = field(default_factory=KeyedLock)

    async def upload(self, upload: Upload, *, embed: bool = True) -> Uploaded:
        """Return the asset, durable and, with `embed`, searchable.

        The same bytes in the same collection are the same asset: nothing that was
        said of it before is changed.

        Raises:
            InvalidInputError: the image or what is said of it cannot be used.
            OverloadedError, UnavailableError, StorageFullError: nothing is kept.
        """
        check_collection(upload.collection)
        check_metadata(upload.metadata)
        sha256 = await asyncio.to_thread(sha256_of, upload.data)
        known = await self._find(asset_id(upload.collection, sha256))
        recipe = self.embedder.card.recipe.id
        if (
            known
            and (not embed or known.has_recipe(recipe))
            and (kept := await _to_the_end(self._confirm(known, upload.data)))
        ):
            return Uploaded(kept, is_new=False)
        asset, embedding = await self._understand(upload, sha256, embed=embed)
        return await _to_the_end(self._keep(asset, upload.data, embedding))

    async def fetch(self, url: str) -> bytes:
        """Return the bytes behind the URL, where fetching is allowed."""
        with self.metrics.stage("fetch"):
            return await self.fetcher.fetch(url)

    async def get(self, asset_id: str) -> Asset:
        """Return the asset. Absent: AssetNotFoundError."""
        if asset := await self._find(asset_id):
            return asset
        raise _absent(asset_id)

    async def find(self, query: AssetQuery) -> Page:
        """Return a page of assets, newest first."""
        return await self.documents.find(query)

    async def update(self, asset_id: str, changes: AssetChanges) -> Asset:
        """Return the asset after the change. Absent: AssetNotFoundError."""
        if changes.metadata is not None:
            check_metadata(changes.metadata)
        return await self.documents.update(asset_id, changes)

    async def read(self, asset: Asset, start: int, stop: int) -> AsyncIterator[bytes]:
        """Return the original's bytes [start, stop), in chunks.

        Raises:
            AssetNotFoundError: the asset was erased meanwhile.
            UnavailableError: the store lost the bytes; before the first chunk.
        """
        if await self.objects.size(asset.sha256) != asset.size_bytes:
            await self.get(asset.id)
            raise UnavailableError(
                "The original of this asset is missing from the object store;"
                " upload the same bytes again to restore it.",
                port="objects",
            )
        return self.objects.read(asset.sha256, start, stop)

    async def keep_embedding(self, embedding: Embedding) -> None:
        """Store a vector of an asset and make it searchable.

        Absent: AssetNotFoundError.
        """
        asset = await self.get(embedding.asset_id)
        await _to_the_end(self._attach(asset, embedding))

    async def remove(self, asset_id: str) -> None:
        """Erase the asset with everything derived.

        Bytes that cannot be erased any more at the end are left for the next sweep.

        Raises:
            AssetNotFoundError: it is not there (any more).
            UnavailableError: nothing was erased.
        """
        asset = await self.get(asset_id)
        await _to_the_end(self._erase(asset))

    async def sweep(self) -> int:
        """Remove bytes that a crash or failure left; return how many digests."""
        dropped = 0
        for sha256 in await self.documents.unreferenced(self.grace_s):
            async with self._lock(sha256):
                dropped += await self._drop_bytes(sha256)
        return dropped

    async def _find(self, asset_id: str) -> Asset | None:
        return (await self.documents.get([asset_id])).get(asset_id)

    async def _understand(
        self, upload: Upload, sha256: str, *, embed: bool
    ) -> tuple[Asset, Embedding | None]:
        """Decode and embed before anything is stored: bad input leaves nothing."""
        key = asset_id(upload.collection, sha256)
        try:
            if not embed:
                image = await self.embedder.inspect(upload.data)
                return self._record(upload, sha256, image), None
            [embedded] = await self.embedder.embed([upload.data])
        except InvalidInputError as error:
            raise error.at(upload.given_as) from error
        embedding = Embedding(key, self.embedder.card.recipe.id, embedded.vector)
        asset = self._record(upload, sha256, embedded.image)
        ref = EmbeddingRef(embedding.recipe, len(embedding.vector))
        return replace(asset, embeddings=(ref,)), embedding

    def _record(self, upload: Upload, sha256: str, image: ImageInfo) -> Asset:
        return Asset(
            id=asset_id(upload.collection, sha256),
            collection=upload.collection,
            sha256=sha256,
            filename=upload.filename,
            image=image,
            size_bytes=len(upload.data),
            created_at=self.now(),
            tags=upload.tags,
            metadata=upload.metadata,
            subject=upload.subject,
        )

    async def _keep(
        self, asset: Asset, data: Data, embedding: Embedding | None
    ) -> Uploaded:
        async with self._kept(asset.sha256, data):
            for _ in range(_STORE_TRIES):
                is_new = await self._store(asset, data, embedding)
                # Another process may have erased what was there before.
                if kept := asset if is_new else await self._find(asset.id):
                    if embedding:
                        await self._index(asset, embedding)
                    return Uploaded(kept, is_new)
        raise UnavailableError(
            "The same asset is being erased; try again.", port="documents"
        )

    @asynccontextmanager
    async def _kept(self, sha256: str, data: Data) -> AsyncGenerator[None]:
        """Keep others from the digest, and the data for us if the caller leaves."""
        with holding(data):
            async with self._lock(sha256):
                yield

    async def _store(
        self, asset: Asset, data: Data, embedding: Embedding | None
    ) -> bool:
        try:
            with self.metrics.stage("store"):
                await self._put(asset.sha256, data)
                return await self.documents.add(asset, embedding)
        except Exception:
            await self._drop_or_leave(asset.sha256)
            raise

    async def _put(self, sha256: str, data: Data) -> None:
        await self._mark(sha256)
        await self.objects.put(sha256, contents_of(data))

    async def _confirm(self, known: Asset, data: Data) -> Asset | None:
        """Return the asset, its bytes restored if lost; None: it was just erased."""
        async with self._kept(known.sha256, data):
            asset = await self._find(known.id)
            if asset and await self.objects.size(asset.sha256) != asset.size_bytes:
                _log.warning("the original of asset %s was lost: restored", asset.id)
                await self._put(asset.sha256, data)
                asset = await self._find(known.id)
            return asset

    async def _attach(self, asset: Asset, embedding: Embedding) -> None:
        async with self._lock(asset.sha256):
            await self.documents.put(embedding)
            await self._index(asset, embedding)

    async def _index(self, asset: Asset, embedding: Embedding) -> None:
        space = Space(asset.collection, embedding.recipe)
        await self.index.upsert(space, [asset.id], embedding.vector[None])

    async def _erase(self, asset: Asset) -> None:
        async with self._lock(asset.sha256):
            # Asked first: while one cannot erase, the record stays as well.
            await self.objects.size(asset.sha256)
            if not self.index.reads_store:
                await self.index.ping()
            shown = await self.evidence.shown_by(asset.id)
            for character_id in shown:
                self.evidence.owe(character_id)
            erased = await self.documents.remove(asset.id)
            for ref in erased.embeddings:
                space = Space(erased.collection, ref.recipe)
                await self.index.delete(space, [erased.id])
            await self.jobs.of_asset(erased.id, erased.collection)
            for character_id in shown:
                await self.evidence.changed(character_id)
            await self._drop_or_leave(asset.sha256)

    async def _mark(self, sha256: str) -> None:
        for _ in range(_ERASURE_LOOKS):
            if await self.documents.mark(sha256):
                return
            await asyncio.sleep(_ERASURE_PAUSE_S)
        raise UnavailableError(
            "The same bytes are being erased; try again.", port="objects"
        )

    async def _drop_bytes(self, sha256: str) -> bool:
        if not await self.documents.claim(sha256, self.grace_s):
            return False
        await self.objects.delete(sha256)
        async for made in self.derived.scan(derived_prefix(sha256)):
            await self.derived.delete(made.sha256)
        await self.documents.clear(sha256)
        return True

    async def _drop_or_leave(self, sha256: str) -> None:
        try:
            await self._drop_bytes(sha256)
        except UnavailableError:
            _log.warning("bytes %s are left for the next sweep", sha256)


def _absent(asset_id: str) -> AssetNotFoundError:
    return AssetNotFoundError(f"No asset has the id {asset_id}.", value=asset_id)


async def _to_the_end(work: Awaitable[_T]) -> _T:
    """Finish the work even if the caller leaves: a store is never half-written."""
    return await asyncio.shield(asyncio.ensure_future(work))
