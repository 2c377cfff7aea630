"""Renditions: made when first asked for, then kept beside the originals."""

import logging
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, get_args

from dinoserve.domain.assets import Asset
from dinoserve.domain.renditions import (
    Drawing,
    Encoding,
    Format,
    Offer,
    Rendition,
    derived_name,
    drawing,
)
from dinoserve.errors import AssetNotFoundError, InvalidInputError, UnavailableError
from dinoserve.ports import EncodedImage, GarbageLog, ObjectStore, Redrawer
from dinoserve.services.assets import AssetService
from dinoserve.services.turns import Turns
from dinoserve.telemetry import Metrics

_log = logging.getLogger(__name__)

# Before its bytes, an object tells its kind, format and length: so a cut one is known,
# and what `plain` came to.
_HEAD = struct.Struct(">4s4sQ")
_KIND = b"dir1"
# Most renditions are read in one go with their head.
_FIRST_BYTES = 256 * 1024


class Derived(NamedTuple):
    """A rendition that is there.

    Attributes:
        read: gives the bytes [start, stop) in chunks.
    """

    format: Format
    size_bytes: int
    read: Callable[[int, int], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class RenditionService:
    """Gives originals in other sizes and formats.

    Attributes:
        derived: keeps renditions; losing one costs the time to make it again.
        offer: what may be asked for without a signed link.
        turns: bounds what is made at once.
    """

    assets: AssetService
    documents: GarbageLog
    derived: ObjectStore
    redrawer: Redrawer
    offer: Offer
    turns: Turns[Derived]
    metrics: Metrics

    @property
    def formats(self) -> Sequence[Format]:
        """Return the formats there are, those with the smaller files first."""
        return self.redrawer.formats

    def drawing(self, asset: Asset, asked: Rendition, encoding: Encoding) -> Drawing:
        """Return how the rendition comes out, in an encoding that suits the caller.

        Raises:
            InvalidInputError: this server cannot write the format (`format`).
        """
        if encoding not in {*self.formats, "plain"}:
            raise InvalidInputError(
                f"This server does not write {encoding}; it writes"
                f" {', '.join(self.formats)}.",
                field="format",
                limit=list(self.formats),
                value=encoding,
            )
        return drawing(asked, (asset.image.width, asset.image.height), encoding)

    def name(self, asset: Asset, drawn: Drawing) -> str:
        """Return 64 hex digits; the same ones are the same bytes."""
        return derived_name(asset.sha256, drawn, self.redrawer.version)

    async def open(self, asset: Asset, drawn: Drawing) -> Derived:
        """Return the rendition; it is made if it is not there, or damaged.

        Raises:
            AssetNotFoundError: the asset was erased meanwhile; nothing is kept.
            OverloadedError: at once, when too many wait to be made.
            UnavailableError: the original is lost or damaged, or a store is away.
        """
        name = self.name(asset, drawn)
        if kept := await self._kept(name):
            return kept
        return await self.turns.take(name, partial(self._make, asset, drawn, name))

    async def _make(self, asset: Asset, drawn: Drawing, name: str) -> Derived:
        # Whoever had the turn before may just have made it.
        if kept := await self._kept(name):
            return kept
        chunks = await self.assets.read(asset, 0, asset.size_bytes)
        original = b"".join([chunk async for chunk in chunks])
        made = await self._redrawn(original, drawn)
        packed = _HEAD.pack(_KIND, made.format.encode(), len(made.data)) + made.data
        await self._keep(asset, name, packed)
        return self._described(name, packed, made.format, len(made.data))

    async def _redrawn(self, original: bytes, drawn: Drawing) -> EncodedImage:
        try:
            with self.metrics.stage("render"):
                return await self.redrawer.redraw(original, drawn)
        except InvalidInputError as error:  # it was sound when it was given
            raise UnavailableError(
                f"The original of this asset cannot be drawn: {error.detail}",
                port="objects",
            ) from error

    async def _keep(self, asset: Asset, name: str, packed: bytes) -> None:
        """Store it, unless the asset is erased: then nothing of it must be left.

        Raises:
            AssetNotFoundError: it was erased.
        """
        try:
            await self.derived.put(name, packed)
        except UnavailableError as error:
            _log.warning("a rendition could not be kept: %s", error.detail)
        # After it was stored: who erases looks for renditions after the record is
        # gone, so one of the two sees the other.
        is_needed = False
        try:
            is_needed = bool(await self.documents.referenced([asset.sha256]))
        finally:
            if not is_needed:
                await self.derived.delete(name)
        if not is_needed:
            raise AssetNotFoundError("The asset was erased meanwhile.")

    async def _kept(self, name: str) -> Derived | None:
        size = await self.derived.size(name)
        if size is None:
            return None
        try:
            chunks = self.derived.read(name, 0, min(size, _FIRST_BYTES))
            first = b"".join([chunk async for chunk in chunks])
        except UnavailableError as error:
            _log.warning("a rendition cannot be read: %s", error.detail)
            first = b""
        if described := self._if_sound(name, size, first):
            return described
        # Erased, or damaged: a store may take other bytes of a length for the same.
        await self.derived.delete(name)
        return None

    def _if_sound(self, name: str, size: int, first: bytes) -> Derived | None:
        if len(first) < _HEAD.size:
            return None
        kind, told, length = _HEAD.unpack_from(first)
        if kind != _KIND or size != _HEAD.size + length:
            return None
        for known in get_args(Format):
            if told.rstrip(b"\0") == known.encode():
                return self._described(name, first, known, length)
        return None

    def _described(
        self, name: str, first: bytes, written: Format, length: int
    ) -> Derived:
        return Derived(written, length, partial(self._read, name, first))

    async def _read(
        self, name: str, first: bytes, start: int, stop: int
    ) -> AsyncIterator[bytes]:
        """Yield the bytes [start, stop); those not in `first` from the store."""
        begin, end = start + _HEAD.size, stop + _HEAD.size
        if begin < len(first):
            yield first[begin : min(end, len(first))]
        if end > len(first):
            async for chunk in self.derived.read(name, max(begin, len(first)), end):
                yield chunk
