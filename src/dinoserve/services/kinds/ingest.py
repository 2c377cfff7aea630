"""`ingest`: pictures that lie somewhere become assets."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias, cast
from urllib.parse import unquote, urlsplit

from dinoserve.domain.assets import Metadata
from dinoserve.domain.jobs import Chunk, Job, Outcome
from dinoserve.domain.manifests import Picture, pictures
from dinoserve.errors import InvalidInputError
from dinoserve.ports import ImageListing
from dinoserve.services.assets import AssetService
from dinoserve.services.job_kinds import Found
from dinoserve.services.kinds.each import each
from dinoserve.services.kinds.parameters import text, texts
from dinoserve.services.upload import Upload

Source: TypeAlias = Literal["folder", "prefix", "manifest"]

_SOURCES: Sequence[Source] = ("folder", "prefix", "manifest")
# Each is in memory with all its bytes.
_AT_ONCE = 16
_MAX_FILENAME = 255


@dataclass(frozen=True, slots=True)
class IngestKind:
    """Takes pictures in; items are `domain.manifests.Picture` as JSON.

    Parameters: one of `folder` (of this machine), `prefix` (of keys in the bucket) and
    `manifest` (its text); `collection`, `tags`, `metadata` and `subject` of all; and
    `embed` (absent: true). The same bytes are the same asset, however often.

    Attributes:
        folders: pictures in folders of this machine.
        bucket: pictures in the bucket; None: there is no bucket.
    """

    assets: AssetService
    folders: ImageListing
    bucket: ImageListing | None

    name: str = field(default="ingest", init=False)
    chunk_items: int = field(default=128, init=False)
    has_finish: bool = field(default=False, init=False)

    def items(self, parameters: Metadata) -> Sequence[str] | None:
        """Return the rows of a manifest.

        Raises:
            InvalidInputError: not one source, one that may not be read, or a row that
                is wrong.
        """
        source, given = _source(parameters)
        try:
            if source == "manifest":
                return [self._row(picture) for picture in pictures(given)]
            self._listing(source).check(given)
        except InvalidInputError as error:
            raise error.at(f"parameters.{source}") from error
        return None

    async def plan(self, job: Job, cursor: str | None) -> AsyncGenerator[Found]:
        """Yield the pictures of a folder or prefix, by name."""
        source, place = _source(job.parameters)
        listing = self._listing(source)
        listing.check(place)
        after = Picture.from_item(cursor).source if cursor else None
        async for names in listing.names(place, after):
            items = [_named(source, name).to_item() for name in names]
            if items:
                yield Found(items, items[-1])

    async def work(self, job: Job, chunk: Chunk) -> Outcome:
        """Take these in; one that is there already is done."""
        take = partial(self._take, job.parameters)
        return await each(chunk.items, take, _AT_ONCE)

    async def finish(self, job: Job) -> Metadata:
        """Return nothing: the assets are the result."""
        del job
        return {}

    async def _take(self, of_all: Metadata, item: str) -> None:
        picture = Picture.from_item(item)
        upload = Upload(
            data=await self._read(picture),
            collection=picture.collection or text(of_all, "collection") or "default",
            filename=_filename(picture),
            tags=tuple(dict.fromkeys([*(texts(of_all, "tags") or ()), *picture.tags])),
            metadata={**_metadata(of_all), **picture.metadata},
            subject=picture.subject or text(of_all, "subject"),
        )
        await self.assets.upload(upload, embed=of_all.get("embed") is not False)

    async def _read(self, picture: Picture) -> bytes:
        if picture.url:
            return await self.assets.fetch(picture.url)
        if picture.path:
            return await self.folders.read(picture.path)
        return await self._listing("prefix").read(picture.source)

    def _row(self, picture: Picture) -> str:
        if picture.path:
            self.folders.check(picture.path)
        return picture.to_item()

    def _listing(self, source: Source) -> ImageListing:
        if source == "folder":
            return self.folders
        if self.bucket:
            return self.bucket
        raise InvalidInputError(
            "This server's objects are in no bucket (DINOSERVE_OBJECTS): use `folder`"
            " or `manifest`.",
            field="prefix",
        )


def _source(parameters: Metadata) -> tuple[Source, str]:
    told: list[tuple[Source, str]] = [
        (name, str(value))
        for name in _SOURCES
        if (value := parameters.get(name)) is not None
    ]
    if len(told) == 1:
        return told[0]
    raise InvalidInputError(
        f"Give just one of {', '.join(_SOURCES)}; there are {len(told)}.",
        field="parameters",
        value=len(told),
    )


def _named(source: Source, name: str) -> Picture:
    return Picture(path=name) if source == "folder" else Picture(key=name)


def _filename(picture: Picture) -> str | None:
    """Return the last part of where it is, printable only, if it has no other name."""
    if picture.filename:
        return picture.filename
    path = unquote(urlsplit(picture.url).path) if picture.url else picture.source
    last = path.rsplit("/", 1)[-1]
    return "".join(c for c in last if c.isprintable())[:_MAX_FILENAME] or None


def _metadata(of_all: Metadata) -> Metadata:
    return cast("Metadata", of_all.get("metadata") or {})
