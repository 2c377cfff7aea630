"""What every `ImageListing` finds and reads: in a folder, in a bucket."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import obstore
import pytest

from dinoserve.adapters.folder_listing import FolderListing
from dinoserve.adapters.objects import BucketPictures, S3Objects
from dinoserve.adapters.objects.bucket import S3Limits, connect
from dinoserve.errors import ImageTooLargeError, InvalidInputError, NotFoundError
from dinoserve.ports import ImageListing
from object_servers import clear, fresh_bucket

MAX_BYTES = 1000
MOTO = pytest.param("moto", marks=pytest.mark.needs("moto"))
S3 = pytest.param("s3", marks=pytest.mark.needs("s3"))


@dataclass
class Site:
    """Pictures, and a place with a way to put some there.

    Attributes:
        foreign: a place that may not be read.
    """

    listing: ImageListing
    place: str
    foreign: str
    put: Callable[[str, bytes], Awaitable[object]]

    async def fill(self, *names: str) -> None:
        await asyncio.gather(*(self.put(name, name.encode()) for name in names))

    async def found(self, below: str = "", after: str | None = None) -> list[str]:
        """Return what is found, as names from the place on."""
        place = f"{self.place}/{below}".rstrip("/")
        behind = f"{self.place}/{after}" if after else None
        batches = [one async for one in self.listing.names(place, behind)]
        assert all(len(batch) <= 1000 for batch in batches)
        names = [name for batch in batches for name in batch]
        return [name.removeprefix(f"{self.place}/") for name in names]


@pytest.fixture(params=["folder", MOTO, S3])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    if request.param == "folder":
        yield _folder(tmp_path)
        return
    bucket = fresh_bucket(request.param)
    # As a server has it whose own objects lie beside the pictures.
    own = replace(bucket, prefix=f"{bucket.prefix}/own")
    objects = await S3Objects.open(own)
    await objects.put("ab" * 32, b"an original")
    store = connect(bucket, S3Limits())

    async def put(name: str, data: bytes) -> object:
        return await obstore.put_async(store, f"{bucket.prefix}/photos/{name}", data)

    place = f"{bucket.prefix}/photos"
    yield Site(BucketPictures(own, MAX_BYTES), place, own.prefix, put)
    await clear(bucket)


def _folder(tmp_path: Path) -> Site:
    root = tmp_path / "photos"
    root.mkdir()

    async def put(name: str, data: bytes) -> object:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.write_bytes(data)

    listing = FolderListing([root], MAX_BYTES)
    return Site(listing, str(root), str(tmp_path / "other"), put)


async def test_pictures_are_found_however_deep(site: Site) -> None:
    await site.fill("a.jpg", "b/c.PNG", "b/d/e.webp", "notes.txt", "b/f.jpg.part")

    assert await site.found() == ["a.jpg", "b/c.PNG", "b/d/e.webp"]


async def test_hidden_ones_are_passed_over(site: Site) -> None:
    await site.fill("a.jpg", ".b.jpg", ".thumbs/c.jpg", "d/.e.jpg")

    assert await site.found() == ["a.jpg"]


async def test_a_part_of_the_place_is_a_place(site: Site) -> None:
    await site.fill("a.jpg", "b/c.jpg", "bb/d.jpg")

    assert await site.found("b") == ["b/c.jpg"]


async def test_it_goes_on_behind_any_name(site: Site) -> None:
    await site.fill("a.jpg", "b/a.jpg", "b/b/a.jpg", "b/c.jpg", "b.jpg", "b-/a.jpg")
    every = await site.found()

    rests = [await site.found(after=name) for name in every]

    assert len(every) == 6
    assert rests == [every[at + 1 :] for at in range(6)]


async def test_it_goes_on_behind_a_name_that_is_gone(site: Site) -> None:
    await site.fill("a.jpg", "c/d.jpg")

    assert await site.found(after="b/x.jpg") == ["c/d.jpg"]


async def test_a_picture_is_read_under_the_name_it_was_found_by(site: Site) -> None:
    odd = "a b/it's #1 & 100%.jpg"
    await site.fill(odd)
    assert await site.found() == [odd]

    assert await site.listing.read(f"{site.place}/{odd}") == odd.encode()


async def test_a_picture_that_is_not_there_is_not_found(site: Site) -> None:
    with pytest.raises(NotFoundError):
        await site.listing.read(f"{site.place}/none.jpg")


async def test_a_picture_may_have_just_so_many_bytes(site: Site) -> None:
    await site.put("fits.jpg", bytes(MAX_BYTES))
    await site.put("large.jpg", bytes(MAX_BYTES + 1))

    assert len(await site.listing.read(f"{site.place}/fits.jpg")) == MAX_BYTES
    with pytest.raises(ImageTooLargeError) as caught:
        await site.listing.read(f"{site.place}/large.jpg")

    assert caught.value.extra["limit"] == MAX_BYTES
    assert caught.value.extra["value"] == MAX_BYTES + 1


async def test_an_empty_file_is_read_as_it_is(site: Site) -> None:
    await site.put("empty.jpg", b"")

    assert await site.listing.read(f"{site.place}/empty.jpg") == b""


async def test_what_is_not_to_be_read_is_refused(site: Site) -> None:
    with pytest.raises(InvalidInputError):
        site.listing.check(site.foreign)
    with pytest.raises(InvalidInputError):
        await site.listing.read(f"{site.foreign}/a.jpg")


async def test_names_come_in_batches_of_a_thousand_at_most(site: Site) -> None:
    names = [f"{at:04}.jpg" for at in range(1050)]
    await site.fill(*names)

    assert await site.found() == names
