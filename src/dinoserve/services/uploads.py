"""Direct uploads: bytes go straight to the object store and are looked at there."""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from dinoserve.domain.assets import asset_id, check_collection, check_metadata
from dinoserve.domain.links import Signer
from dinoserve.domain.uploads import EXPIRES_S, GRACE_S, UploadPlan
from dinoserve.errors import (
    ImageTooLargeError,
    InvalidInputError,
    LinkRefusedError,
    UnavailableError,
    UploadIncompleteError,
    UploadMismatchError,
)
from dinoserve.ports import ObjectStore
from dinoserve.services.assets import AssetService
from dinoserve.services.spooling import (
    Data,
    contents_of,
    holding,
    sha256_of,
    spooled,
)
from dinoserve.services.upload import Upload, Uploaded

_log = logging.getLogger(__name__)
_PURPOSE: Final = "upload"


class Begun(NamedTuple):
    """An upload that was asked for.

    Attributes:
        id: what was agreed, signed; any server with the same key knows it again.
        url: where the bytes may be written; None: to `receive`.
    """

    id: str
    url: str | None
    plan: UploadPlan


@dataclass(frozen=True, slots=True)
class UploadService:
    """Lets callers write to the object store, and makes assets of what came.

    Nothing is kept of an upload but its bytes, under a name of chance; the agreement
    is in its id.

    Attributes:
        incoming: where the bytes come, used for nothing else.
        max_bytes: of one image.
    """

    incoming: ObjectStore
    assets: AssetService
    links: Signer
    max_bytes: int
    now: Callable[[], datetime]

    async def begin(self, plan: UploadPlan) -> Begun:
        """Return where the bytes may be written within `EXPIRES_S`.

        Raises:
            ImageTooLargeError: so many bytes are not taken.
            InvalidInputError: what is said of the image cannot be used.
        """
        self._check(plan)
        expires_at = int(self.now().timestamp()) + EXPIRES_S
        plan = replace(plan, name=secrets.token_hex(32), expires_at=expires_at)
        upload_id = self.links.token(_PURPOSE, plan.to_text())
        url = await self.incoming.sign("PUT", plan.name, EXPIRES_S)
        return Begun(upload_id, url, plan)

    async def receive(self, upload_id: str, body: AsyncIterable[bytes]) -> None:
        """Keep the bytes until the upload is completed, in the store's place.

        Raises:
            LinkRefusedError: the id is not ours, or its time has passed.
            UploadMismatchError: these are other bytes than agreed; none are kept.
        """
        plan = self._plan(upload_id)
        async with _checked(body, plan) as data:
            await asyncio.shield(asyncio.ensure_future(self._put(plan, data)))

    async def complete(self, upload_id: str) -> Uploaded:
        """Return the asset that the bytes are; twice gives the same.

        The bytes are read back and looked at before anything else is done with them,
        and are gone afterwards, unless another try may be better.

        Raises:
            LinkRefusedError: the id is not ours, or its time has passed.
            UploadIncompleteError: no bytes have come.
            UploadMismatchError: other bytes came than agreed.
            InvalidInputError: they are no image that can be used.
            OverloadedError, UnavailableError, StorageFullError: try again.
        """
        plan = self._plan(upload_id)
        size = await self.incoming.size(plan.name)
        if size is None:
            return await self._completed(plan)
        try:
            uploaded = await self._keep(plan, size)
        except InvalidInputError:
            await self._discard(plan)
            raise
        except UnavailableError:
            # Somebody who completes the same may have taken it from under us.
            if await self.incoming.size(plan.name) is not None:
                raise
            return await self._completed(plan)
        await self._discard(plan)
        return uploaded

    async def sweep(self) -> int:
        """Remove what came and was never completed; return how many objects."""
        oldest = self.now() - timedelta(seconds=EXPIRES_S + GRACE_S)
        count = 0
        async for found in self.incoming.scan():
            if found.stored_at < oldest:
                await self.incoming.delete(found.sha256)
                count += 1
        return count

    def _check(self, plan: UploadPlan) -> None:
        check_collection(plan.collection)
        check_metadata(plan.metadata)
        if plan.size_bytes > self.max_bytes:
            raise ImageTooLargeError(
                f"An image may be {self.max_bytes} bytes (DINOSERVE_MAX_IMAGE_BYTES).",
                field="size_bytes",
                limit=self.max_bytes,
                value=plan.size_bytes,
            )

    def _plan(self, upload_id: str) -> UploadPlan:
        plan = UploadPlan.from_text(self.links.text_of(_PURPOSE, upload_id))
        if plan.expires_at <= self.now().timestamp():
            raise LinkRefusedError("The time of this upload has passed; begin anew.")
        return plan

    async def _put(self, plan: UploadPlan, data: Data) -> None:
        with holding(data):
            await self.incoming.put(plan.name, contents_of(data))

    async def _completed(self, plan: UploadPlan) -> Uploaded:
        key = asset_id(plan.collection, plan.sha256)
        asset = (await self.assets.documents.get([key])).get(key)
        recipe = self.assets.embedder.card.recipe.id
        if asset and (asset.has_recipe(recipe) or not plan.embed):
            return Uploaded(asset, is_new=False)
        raise UploadIncompleteError(
            "No bytes have come yet; PUT them to the upload's `url` first."
        )

    async def _keep(self, plan: UploadPlan, size: int) -> Uploaded:
        _check_size(plan, size)
        async with _checked(self.incoming.read(plan.name, 0, size), plan) as data:
            upload = Upload(
                data=data,
                collection=plan.collection,
                filename=plan.filename,
                tags=plan.tags,
                metadata=plan.metadata,
                subject=plan.subject,
                given_as="upload_id",
            )
            return await self.assets.upload(upload, embed=plan.embed)

    async def _discard(self, plan: UploadPlan) -> None:
        try:
            await self.incoming.delete(plan.name)
        except UnavailableError:
            _log.warning("what came as %s is left for the next sweep", plan.name)


@asynccontextmanager
async def _checked(
    chunks: AsyncIterable[bytes], plan: UploadPlan
) -> AsyncGenerator[Data]:
    """Give the bytes for the block if they are those agreed on."""
    async with spooled(_at_most(chunks, plan), plan.size_bytes) as data:
        _check_size(plan, len(data))
        sha256 = await asyncio.to_thread(sha256_of, data)
        if sha256 != plan.sha256:
            raise UploadMismatchError(
                "The bytes have another SHA-256 than was agreed.",
                field="sha256",
                limit=plan.sha256,
                value=sha256,
            )
        yield data


async def _at_most(
    chunks: AsyncIterable[bytes], plan: UploadPlan
) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        _check_size(plan, max(size, plan.size_bytes))
        yield chunk


def _check_size(plan: UploadPlan, size: int) -> None:
    if size != plan.size_bytes:
        raise UploadMismatchError(
            "These are more or fewer bytes than was agreed.",
            field="size_bytes",
            limit=plan.size_bytes,
            value=size,
        )
