"""Sources: where an image is that somebody names, and its bytes."""

import asyncio
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias

from dinoserve.errors import InvalidInputError
from dinoserve.services.assets import AssetService

_AT = "images["


class Encoded(NamedTuple):
    """An image as encoded bytes."""

    data: bytes


class Linked(NamedTuple):
    """An image behind a URL."""

    url: str


class Kept(NamedTuple):
    """An image that is an asset."""

    asset_id: str


Source: TypeAlias = Encoded | Linked | Kept


async def bytes_of(
    sources: Sequence[Source], fields: Sequence[str], assets: AssetService
) -> list[bytes]:
    """Return the encoded bytes of every source, in order; all of them or an error.

    All are in memory together: what they take is bounded by the number of sources
    and by what one image may have.

    Args:
        sources: where the images are.
        fields: what the caller calls each of them, for the error.
        assets: reads assets and fetches URLs.

    Raises:
        DinoserveError: the first source that cannot be read.
    """

    async def one(source: Source, field: str) -> bytes:
        try:
            return await _read(source, assets)
        except InvalidInputError as error:
            raise error.at(field) from error

    pairs = zip(sources, fields, strict=True)
    tasks = [asyncio.create_task(one(source, field)) for source, field in pairs]
    try:
        return [await task for task in tasks]
    finally:
        for task in tasks:  # after one failed, the others fetch for nobody
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def told_as(fields: Sequence[str]) -> Generator[None]:
    """Call the engine's `images[i]` what the caller calls it.

    Raises:
        InvalidInputError: what the block raised, told of `fields[i]`.
    """
    try:
        yield
    except InvalidInputError as error:
        field = str(error.extra.get("field", ""))
        if not field.startswith(_AT):
            raise
        raise error.at(fields[int(field.removeprefix(_AT).rstrip("]"))]) from error


async def _read(source: Source, assets: AssetService) -> bytes:
    match source:
        case Encoded(data):
            return data
        case Linked(url):
            return await assets.fetch(url)
        case Kept(asset_id):
            asset = await assets.get(asset_id)
            chunks = await assets.read(asset, 0, asset.size_bytes)
            return b"".join([chunk async for chunk in chunks])
