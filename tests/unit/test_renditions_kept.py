"""Renditions in their store: made once, made again when damaged, gone when erased."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from PIL import Image

from dinoserve.adapters.memory import MemoryObjects
from dinoserve.domain.assets import Asset
from dinoserve.domain.renditions import Drawing, Format, Rendition
from dinoserve.engine.images import ImageLimits
from dinoserve.engine.renditions import PillowRedrawer
from dinoserve.errors import (
    AssetNotFoundError,
    InvalidInputError,
    StorageFullError,
    UnavailableError,
)
from dinoserve.ports import Contents, EncodedImage
from dinoserve.services import Services
from dinoserve.services.renditions import Derived, RenditionService
from dinoserve.services.upload import Upload
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import open_services
from guarded_forward import until
from odd_files import encoded, photo

SMALL = Rendition(64, None, format="webp")
PILLOW = PillowRedrawer(ImageLimits(10**8, 10**8, 10**5))


@dataclass(frozen=True)
class HeldRedrawer:
    """The real one, which counts, and waits at a door."""

    drawn: list[Drawing] = field(default_factory=list[Drawing])
    door: threading.Event = field(default_factory=threading.Event)
    formats: Sequence[Format] = PILLOW.formats
    version: str = PILLOW.version

    async def redraw(self, original: bytes, drawing: Drawing) -> EncodedImage:
        self.drawn.append(drawing)
        await asyncio.to_thread(self.door.wait, 60)
        return await PILLOW.redraw(original, drawing)


@pytest.fixture
async def services() -> AsyncGenerator[Services]:
    memory = {"documents": "memory:", "objects": "memory:", "model": "stub"}
    async with open_services(Settings.model_validate(memory), Metrics()) as services:
        yield services


@pytest.fixture
def redrawer() -> HeldRedrawer:
    open_door = HeldRedrawer()
    open_door.door.set()
    return open_door


@pytest.fixture
def renditions(services: Services, redrawer: HeldRedrawer) -> RenditionService:
    return replace(services.renditions, redrawer=redrawer)


@pytest.fixture
async def asset(services: Services) -> Asset:
    return (await services.assets.upload(Upload(photo(1)))).asset


def small(renditions: RenditionService, asset: Asset) -> Drawing:
    return renditions.drawing(asset, SMALL, "webp")


async def content(made: Derived, start: int = 0, stop: int | None = None) -> bytes:
    stop = made.size_bytes if stop is None else stop
    return b"".join([chunk async for chunk in made.read(start, stop)])


async def names(renditions: RenditionService) -> list[str]:
    return [one.sha256 async for one in renditions.derived.scan()]


async def stored(renditions: RenditionService) -> bytes:
    [one] = [one async for one in renditions.derived.scan()]
    chunks = renditions.derived.read(one.sha256, 0, one.size_bytes)
    return b"".join([chunk async for chunk in chunks])


async def replaced(renditions: RenditionService, data: bytes) -> None:
    [name] = await names(renditions)
    await renditions.derived.delete(name)
    await renditions.derived.put(name, data)


async def test_what_is_kept_is_what_was_made(
    renditions: RenditionService, redrawer: HeldRedrawer, asset: Asset
) -> None:
    drawn = small(renditions, asset)
    made = await renditions.open(asset, drawn)

    kept = await renditions.open(asset, drawn)

    assert await content(kept) == await content(made)
    assert (kept.format, kept.size_bytes) == (made.format, made.size_bytes)
    assert len(redrawer.drawn) == 1


async def test_many_who_ask_at_once_get_one_drawing(
    renditions: RenditionService, redrawer: HeldRedrawer, asset: Asset
) -> None:
    opening = [renditions.open(asset, small(renditions, asset)) for _ in range(30)]

    made = await asyncio.gather(*opening)

    assert len({await content(one) for one in made}) == 1
    assert len(redrawer.drawn) == 1


@pytest.mark.parametrize("length", [0, 3, 16, 200])
async def test_a_rendition_cut_short_is_made_again(
    renditions: RenditionService, redrawer: HeldRedrawer, asset: Asset, length: int
) -> None:
    drawn = small(renditions, asset)
    made = await content(await renditions.open(asset, drawn))
    whole = await stored(renditions)
    await replaced(renditions, whole[:length])

    assert await content(await renditions.open(asset, drawn)) == made
    assert await stored(renditions) == whole
    assert len(redrawer.drawn) == 2


@pytest.mark.parametrize("at", [0, 4, 15])
async def test_a_rendition_whose_head_is_wrong_is_made_again(
    renditions: RenditionService, asset: Asset, at: int
) -> None:
    class Bucket(MemoryObjects):
        """Takes bytes of the same length for the same, as one on S3 does."""

        async def put(self, sha256: str, data: Contents) -> None:
            if await self.size(sha256) is None:
                await super().put(sha256, data)

    renditions = replace(renditions, derived=Bucket())
    drawn = small(renditions, asset)
    made = await content(await renditions.open(asset, drawn))
    whole = await stored(renditions)
    await replaced(renditions, whole[:at] + b"\xff" + whole[at + 1 :])

    assert await content(await renditions.open(asset, drawn)) == made
    assert await stored(renditions) == whole


async def test_any_part_of_a_large_rendition_can_be_read(
    renditions: RenditionService, services: Services
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (500, 500, 3), np.uint8)
    data = encoded(Image.fromarray(noise), "PNG")
    asset = (await services.assets.upload(Upload(data))).asset
    drawn = renditions.drawing(asset, Rendition(500, None), "png")
    whole = await content(await renditions.open(asset, drawn))
    assert len(whole) > 600_000

    kept = await renditions.open(asset, drawn)

    for start, stop in (
        (0, 10),
        (262_100, 262_200),
        (262_128, 262_128),
        (300_000, len(whole)),
    ):
        assert await content(kept, start, stop) == whole[start:stop]


async def test_erasing_an_asset_erases_its_renditions(
    renditions: RenditionService, services: Services, asset: Asset
) -> None:
    other = (await services.assets.upload(Upload(photo(2)))).asset
    for each in (asset, other):
        for width in (64, 128):
            drawn = renditions.drawing(each, Rendition(width, None), "jpeg")
            await renditions.open(each, drawn)

    await services.assets.remove(asset.id)

    left = await names(renditions)
    assert len(left) == 2
    assert {name[:32] for name in left} == {other.sha256[:32]}


async def test_renditions_stay_while_another_asset_has_the_same_bytes(
    renditions: RenditionService, services: Services, asset: Asset
) -> None:
    again = await services.assets.upload(Upload(photo(1), collection="other"))
    await renditions.open(asset, small(renditions, asset))

    await services.assets.remove(asset.id)
    assert len(await names(renditions)) == 1

    await services.assets.remove(again.asset.id)
    assert await names(renditions) == []


async def test_an_asset_erased_while_it_is_drawn_leaves_nothing(
    renditions: RenditionService,
    redrawer: HeldRedrawer,
    services: Services,
    asset: Asset,
) -> None:
    redrawer.door.clear()
    opening = asyncio.create_task(renditions.open(asset, small(renditions, asset)))
    await until(lambda: len(redrawer.drawn) > 0)

    await services.assets.remove(asset.id)
    redrawer.door.set()

    with pytest.raises(AssetNotFoundError):
        await opening
    assert await names(renditions) == []


async def test_an_asset_erased_before_it_is_drawn_is_told_as_erased(
    renditions: RenditionService, services: Services, asset: Asset
) -> None:
    await services.assets.remove(asset.id)

    with pytest.raises(AssetNotFoundError):
        await renditions.open(asset, small(renditions, asset))


async def test_nothing_is_kept_of_what_nobody_can_say_has_an_asset(
    renditions: RenditionService, asset: Asset
) -> None:
    class Silent:
        async def referenced(self, _digests: object) -> set[str]:
            raise UnavailableError("away", port="documents")

    unsure = replace(renditions, documents=Silent())

    with pytest.raises(UnavailableError):
        await unsure.open(asset, small(renditions, asset))

    assert await names(renditions) == []


async def test_a_rendition_that_cannot_be_kept_is_given_all_the_same(
    renditions: RenditionService, asset: Asset
) -> None:
    class Full(MemoryObjects):
        async def put(self, sha256: str, data: Contents) -> None:
            raise StorageFullError(f"no room for {sha256}: {data!r}", port="objects")

    full = replace(renditions, derived=Full())

    made = await full.open(asset, small(full, asset))

    assert (await content(made))[:4] == b"RIFF"


async def test_a_lost_original_is_told_as_such(
    renditions: RenditionService, services: Services, asset: Asset
) -> None:
    await services.assets.objects.delete(asset.sha256)

    with pytest.raises(UnavailableError, match="missing"):
        await renditions.open(asset, small(renditions, asset))


async def test_a_damaged_original_is_no_fault_of_the_caller(
    renditions: RenditionService, services: Services, asset: Asset
) -> None:
    await services.assets.objects.delete(asset.sha256)
    await services.assets.objects.put(asset.sha256, bytes(asset.size_bytes))

    with pytest.raises(UnavailableError, match="cannot be drawn"):
        await renditions.open(asset, small(renditions, asset))
    assert await names(renditions) == []


async def test_a_format_that_is_not_written_here_is_refused_by_name(
    renditions: RenditionService, asset: Asset
) -> None:
    poor = replace(renditions, redrawer=HeldRedrawer(formats=("jpeg", "png")))

    with pytest.raises(InvalidInputError) as caught:
        poor.drawing(asset, SMALL, "webp")

    assert caught.value.extra["field"] == "format"
    assert caught.value.extra["limit"] == ["jpeg", "png"]
