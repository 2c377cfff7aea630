"""Quality: measuring pictures once each, maps of blur, typicality."""

import asyncio
import heapq
import math
import time
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.assets import Filter, Metadata, check_collection
from dinoserve.domain.features import Colours, heat_colours, with_alpha
from dinoserve.domain.geometry import Box, Geometry
from dinoserve.domain.quality import METHOD, Quality, measure, scaled_luma
from dinoserve.domain.quality_detail import CELL_PX, Numbers, blur_map
from dinoserve.domain.quality_issues import IssueName, Thresholds, default_thresholds
from dinoserve.domain.quality_typicality import MAX_MEMBERS, Reference, Typicality
from dinoserve.errors import InvalidInputError, OverloadedError
from dinoserve.ports import PixelReader, Renderer, Trait
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.sources import Kept, Source, bytes_of

_OVERLAY_ALPHA = 150
_MAX_RETRY_S = 60


class Line:
    """Pictures being measured: a few at a time, and not too many waiting.

    Args:
        at_once: pictures whose pixels are in memory together.
        waiting: pictures that may wait; a single caller may always have more.
    """

    def __init__(self, at_once: int, waiting: int) -> None:
        self.turns = asyncio.Semaphore(at_once)
        self._waiting = waiting
        self._at_once = at_once
        self._held = 0
        self._picture_s = 0.0

    @contextmanager
    def hold(self, pictures: int) -> Generator[None]:
        """Hold room for so many pictures during the block.

        Raises:
            OverloadedError: there is not so much room.
        """
        is_alone = not self._held
        if pictures and not is_alone and self._held + pictures > self._waiting:
            wait_s = math.ceil(self._held * self._picture_s / self._at_once)
            raise OverloadedError(
                f"{self._held} pictures are waiting to be measured; {self._waiting} may"
                " (DINOSERVE_MAX_WAITING_IMAGES).",
                retry_after_s=max(1, min(_MAX_RETRY_S, wait_s)),
            )
        self._held += pictures
        start = time.perf_counter()
        try:
            yield
        finally:
            self._held -= pictures
            # The weight 0.2 remembers about the last ten.
            took_s = (time.perf_counter() - start) / max(1, pictures)
            self._picture_s += 0.2 * (took_s - self._picture_s)


class BlurMap(NamedTuple):
    """Where a picture is blurred.

    Attributes:
        values: float32 (rows, columns), see `domain.quality_detail.blur_map`.
        geometry: where the cells lie; a cell is a patch.
        image: the encoded picture.
    """

    values: Numbers
    geometry: Geometry
    image: bytes


@dataclass(frozen=True, slots=True)
class QualityService:
    """Tells what is measured of pictures; of assets it is kept.

    Attributes:
        thresholds: of this deployment, where they are not the defaults.
    """

    embeddings: EmbeddingService
    pixels: PixelReader
    renderer: Renderer
    line: Line
    thresholds: Thresholds

    def limits(self, asked: Thresholds) -> dict[IssueName, float | None]:
        """Return every threshold: what is asked, else the deployment's, else usual."""
        return default_thresholds() | dict(self.thresholds) | dict(asked)

    async def measure(self, sources: Sequence[Source]) -> list[Quality]:
        """Return what is measured of every source, in order; all of them or an error.

        Raises:
            DinoserveError: as `bytes_of` and `PixelReader.pixels`; `field` is
                `input[i]`.
            OverloadedError: at once, when too many pictures wait.
        """
        ids = {source.asset_id for source in sources if isinstance(source, Kept)}
        known = await self.kept(ids)
        found = {
            at: known[source.asset_id]
            for at, source in enumerate(sources)
            if isinstance(source, Kept) and source.asset_id in known
        }
        missing = [at for at in range(len(sources)) if at not in found]
        with self.line.hold(len(missing)):
            made = await self._measure_all(
                [sources[at] for at in missing], [f"input[{at}]" for at in missing]
            )
        fresh = dict(zip(missing, made, strict=True))
        await self._keep(sources, fresh)
        found |= fresh
        return [found[at] for at in range(len(sources))]

    async def kept(self, ids: Collection[str]) -> dict[str, Quality]:
        """Return what was measured of assets before, by id. Absent: left out."""
        found = await self.embeddings.documents.traits.get(ids, METHOD)
        return {key: _quality(values) for key, values in found.items()}

    async def blur_map(self, source: Source) -> BlurMap:
        """Return where a picture is blurred; errors as `measure`."""
        [image] = await bytes_of([source], ["input"], self.embeddings.assets)
        with self.line.hold(1):
            async with self.line.turns:
                picture = await self._pixels(image, "input")
                return await asyncio.to_thread(_blur_map, picture, image)

    async def overlay(self, found: BlurMap) -> bytes:
        """Return the map as a PNG over its picture: sharp dark blue, blurred yellow.

        Cells that are flat are not painted.
        """
        colours = await asyncio.to_thread(_colours, found.values)
        return await self.renderer.png(colours, found.geometry, found.image)

    async def reference(self, collection: str, k: int) -> Reference:
        """Return the collection as a reference.

        Raises:
            InvalidInputError: fewer than two of its assets have a vector; `field` is
                `reference`.
            RecipeMismatchError: its vectors are of another recipe.
        """
        check_collection(collection)
        documents = self.embeddings.documents
        # Ids are digests: the least of them are drawn by lot, and the same each time.
        everyone = await documents.ids(collection, Filter())
        ids = await asyncio.to_thread(heapq.nsmallest, MAX_MEMBERS, everyone)
        found = await self.embeddings.stored(ids)
        if len(found) < 2:  # noqa: PLR2004 - none has a neighbour among fewer
            await self._refuse(collection, len(found))
        return await asyncio.to_thread(
            lambda: Reference([*found], np.stack([*found.values()]), k)
        )

    async def typicality(
        self, sources: Sequence[Source], reference: Reference
    ) -> list[Typicality]:
        """Return how every source lies to the reference; errors as of `embed`."""
        computed = await self.embeddings.embed(sources)
        ids = [one.asset_id if isinstance(one, Kept) else None for one in sources]
        return await asyncio.to_thread(
            lambda: [
                reference.typicality(one.vector, key)
                for one, key in zip(computed, ids, strict=True)
            ]
        )

    async def _refuse(self, collection: str, count: int) -> None:
        others = await self.embeddings.documents.counts(collection)
        others.pop(self.embeddings.recipe.id, None)
        if others:
            whose = f"Collection {collection} has"
            raise self.embeddings.mismatch(next(iter(others)), whose)
        raise InvalidInputError(
            f"A reference needs two assets with vectors; collection {collection} has"
            f" {count}.",
            field="reference",
            limit=2,
            value=count,
        )

    async def _measure_all(
        self, sources: Sequence[Source], fields: Sequence[str]
    ) -> list[Quality]:
        images = await bytes_of(sources, fields, self.embeddings.assets)
        tasks = [
            asyncio.create_task(self._measure(image, field))
            for image, field in zip(images, fields, strict=True)
        ]
        try:
            return [await task for task in tasks]
        finally:
            for task in tasks:  # after one failed, nobody waits for the others
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _measure(self, image: bytes, field: str) -> Quality:
        async with self.line.turns:
            picture = await self._pixels(image, field)
            return await asyncio.to_thread(measure, picture)

    async def _pixels(self, image: bytes, field: str) -> NDArray[np.uint8]:
        try:
            return await self.pixels.pixels(image)
        except InvalidInputError as error:
            raise error.at(field) from error

    async def _keep(self, sources: Sequence[Source], made: dict[int, Quality]) -> None:
        traits = [
            Trait(source.asset_id, METHOD, asdict(quality))
            for at, quality in made.items()
            if isinstance(source := sources[at], Kept)
        ]
        if traits:
            await self.embeddings.documents.traits.put(traits)


def _quality(values: Metadata) -> Quality:
    return Quality(**values)  # pyright: ignore[reportArgumentType] - as `_keep` stored it under the name of this version


def _blur_map(picture: NDArray[np.uint8], image: bytes) -> BlurMap:
    luma = scaled_luma(picture)
    values = blur_map(luma)
    height, width = (float(side) for side in luma.shape)
    rows, columns = values.shape
    geometry = Geometry(
        image_width=picture.shape[1],
        image_height=picture.shape[0],
        orientation=1,
        source=Box(0, 0, picture.shape[1], picture.shape[0]),
        content=Box(0, 0, width, height),
        width=columns * CELL_PX,
        height=rows * CELL_PX,
        patch_px=CELL_PX,
    )
    return BlurMap(values, geometry, image)


def _colours(values: Numbers) -> Colours:
    # The ends of the scale beside them: the same colour means the same everywhere.
    ends = np.array([0, 1], np.float32)
    scaled = np.concatenate([np.nan_to_num(values).reshape(-1), ends])
    rgb = heat_colours(scaled, np.ones(scaled.shape, np.bool_))[: -len(ends)]
    return with_alpha(rgb.reshape(*values.shape, 3), ~np.isnan(values), _OVERLAY_ALPHA)
