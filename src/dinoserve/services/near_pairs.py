"""Near pairs of assets: their patches compared, to confirm what their hashes say."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from dinoserve.domain.assets import Asset
from dinoserve.domain.bitmaps import bmp
from dinoserve.domain.duplicates import NearPair
from dinoserve.domain.features import parts_of, seen
from dinoserve.domain.fingerprints import TURNS, turned_picture
from dinoserve.domain.patch_agreement import PlacedPatches, agreement
from dinoserve.domain.urgency import priority
from dinoserve.errors import InvalidInputError, OverloadedError
from dinoserve.ports import Embedder, Features
from dinoserve.services.fingerprints import FingerprintService

# Images whose patches one pass makes; patches of 224 px and 384 numbers take 300 kB.
_BATCH: Final = 16
_HELD: Final = 256
# What a turned picture is drawn at; models see hardly more.
_TURNED_PX: Final = 1024


class _View(NamedTuple):
    """An asset as it is looked at."""

    asset: str
    turn: str


@dataclass(frozen=True, slots=True)
class PairService:
    """Compares pairs of assets patch by patch; the right picture is turned first."""

    fingerprints: FingerprintService
    embedder: Embedder

    async def compared(
        self, pairs: Sequence[NearPair], assets: Mapping[str, Asset]
    ) -> list[NearPair]:
        """Return the pairs with the agreement of their patches, in order.

        Without it where the model has no patches.

        Args:
            pairs: by their left asset, so that its patches are made once.
            assets: all that are in pairs, by id.

        Raises:
            OverloadedError: too many images wait; bulk waits for its turn.
            UnavailableError: an original, or the model, gives nothing.
        """
        held: OrderedDict[_View, PlacedPatches] = OrderedDict()
        found: list[NearPair] = []
        for start in range(0, len(pairs), _BATCH // 2):
            some = pairs[start : start + _BATCH // 2]
            views = dict.fromkeys(view for pair in some for view in _views(pair))
            lacking = [view for view in views if view not in held]
            try:
                async for view, patches in self._patches(lacking, assets):
                    held[view] = patches
            except InvalidInputError as error:
                if error.extra.get("field") != "model":
                    raise
                return [*pairs]
            found += await asyncio.to_thread(_agreeing, some, held)
            while len(held) > _HELD:
                held.popitem(last=False)
        return found

    async def _patches(
        self, views: Sequence[_View], assets: Mapping[str, Asset]
    ) -> AsyncGenerator[tuple[_View, PlacedPatches]]:
        if not views:
            return
        images = [await self._image(view, assets[view.asset]) for view in views]
        for view, features in zip(views, await self._features(images), strict=True):
            yield view, await asyncio.to_thread(_placed, features)

    async def _features(self, images: Sequence[bytes]) -> list[Features]:
        while True:
            try:
                return await self.embedder.features(images)
            except OverloadedError as error:
                if priority.get() != "bulk":
                    raise
                await asyncio.sleep(error.retry_after_s)

    async def _image(self, view: _View, asset: Asset) -> bytes:
        data = await self.fingerprints.original(asset)
        if view.turn == TURNS[0]:
            return data
        picture = await self.fingerprints.reader.pixels(data, _TURNED_PX)
        turn = TURNS.index(view.turn)
        return await asyncio.to_thread(lambda: bmp(turned_picture(picture, turn)))


def _views(pair: NearPair) -> tuple[_View, _View]:
    return _View(pair.left, TURNS[0]), _View(pair.right, pair.turn)


def _placed(features: Features) -> PlacedPatches:
    geometry = features.geometry
    parts = parts_of(
        features.tokens, features.registers, geometry.rows, geometry.columns
    )
    return PlacedPatches.of(parts.patches, seen(geometry))


def _agreeing(
    pairs: Sequence[NearPair], held: Mapping[_View, PlacedPatches]
) -> list[NearPair]:
    found: list[NearPair] = []
    for pair in pairs:
        left, right = (held[view] for view in _views(pair))
        share, cosine = agreement(left, right)
        found.append(replace(pair, patch_share=share, patch_cosine=cosine))
    return found
