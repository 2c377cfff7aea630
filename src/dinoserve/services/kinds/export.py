"""`export`: assets, with their vectors, as one file."""

import asyncio
from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from dinoserve.domain.assets import Filter, Metadata
from dinoserve.domain.jobs import Chunk, Failure, Job, Outcome
from dinoserve.domain.npz import NpzFile
from dinoserve.domain.paging import MAX_PAGE, AssetQuery
from dinoserve.domain.tables import Table, pack, record, to_lines, unpack
from dinoserve.errors import InvalidInputError, UnavailableError
from dinoserve.ports import DocumentStore, TableWriter
from dinoserve.services.embeddings import EmbeddingService
from dinoserve.services.job_kinds import Found
from dinoserve.services.job_results import JobResults
from dinoserve.services.kinds.chosen import those_there
from dinoserve.services.kinds.lacking import why_lacking
from dinoserve.services.kinds.pages import pages
from dinoserve.services.kinds.parameters import text, texts
from dinoserve.services.kinds.planned import Settled, parts, settled

_MEDIA_TYPES: Final = {
    "ndjson": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "npz": "application/zip",
}
_NO_VECTORS: Final = np.empty((0, 0), np.float32)


@dataclass(frozen=True, slots=True)
class ExportKind:
    """Writes assets into a file; items are asset ids.

    Parameters: `collection` (absent: every one), `tags` (a list; all must be there),
    `format` (`ndjson`, `parquet` or `npz`), `vectors` (of the recipe that is loaded
    when the job begins; an asset that lacks one is a failure and not in the file).

    Attributes:
        tables: writes Parquet; None: that is not installed.
    """

    documents: DocumentStore
    embeddings: EmbeddingService
    results: JobResults
    tables: TableWriter | None

    name: str = field(default="export", init=False)
    chunk_items: int = field(default=MAX_PAGE, init=False)
    has_finish: bool = field(default=True, init=False)

    def items(self, parameters: Metadata) -> Sequence[str] | None:
        """Return None: a plan finds them.

        Raises:
            InvalidInputError: the format cannot be written here.
        """
        if _format(parameters) == "parquet":
            self._parquet()
        return None

    async def plan(self, job: Job, cursor: str | None) -> AsyncGenerator[Found]:
        """Yield the assets that are meant, newest first."""
        if cursor is None:
            cursor = Settled.by(self.embeddings.recipe).cursor()
            yield Found([], cursor)
        plan, start = Settled.read(cursor)
        where = Filter(tags=frozenset(texts(job.parameters, "tags") or ()))
        query = AssetQuery(text(job.parameters, "collection"), where, limit=MAX_PAGE)
        async for page, place in pages(self.documents, query, start or None):
            yield Found([asset.id for asset in page], plan.cursor(place))

    async def work(self, job: Job, chunk: Chunk) -> Outcome:
        """Write the rows of these; one that was erased meanwhile is a failure."""
        plan = await settled(self.documents.jobs, job.id)
        recipe = plan.recipe if _has_vectors(job) else None
        table, failures = await self._table(chunk.items, recipe)
        encode = to_lines if _format(job.parameters) == "ndjson" else pack
        part = await asyncio.to_thread(encode, table)
        await self.results.write(job.id, chunk.number, part)
        return Outcome(len(table.records), failures)

    async def finish(self, job: Job) -> Metadata:
        """Return the file, and how many assets are in it; it may be none.

        What was erased meanwhile is in it no more.
        """
        plan = await settled(self.documents.jobs, job.id)
        as_what = _format(job.parameters)
        kept = await self._kept(job)
        data = self._file(job, kept, plan.dimension if _has_vectors(job) else 0)
        file = await self.results.keep(
            job.id, f"export.{as_what}", _MEDIA_TYPES[as_what], data
        )
        told = {"file": file.to_json(), "assets": len(kept)}
        return told | ({"recipe": plan.recipe} if _has_vectors(job) else {})

    async def _table(
        self, ids: Sequence[str], recipe: str | None
    ) -> tuple[Table, tuple[Failure, ...]]:
        """Return the rows of those that can be told of, and why others cannot."""
        vectors = {} if recipe is None else await self.documents.vectors(ids, recipe)
        assets = await self.documents.get(ids)
        told = [key for key in ids if key in assets and (not recipe or key in vectors)]
        failures = tuple(
            why_lacking(key, assets.get(key), recipe or "")
            for key in ids
            if key not in assets or (recipe and key not in vectors)
        )
        rows = [vectors[key] for key in told] if recipe else []
        matrix = np.stack(rows) if rows else _NO_VECTORS
        return Table([record(assets[key], recipe) for key in told], matrix), failures

    async def _kept(self, job: Job) -> frozenset[str]:
        """Return those of whom the parts tell and that are there still."""
        told: list[str] = []
        async for chunk in parts(self.documents.jobs, job.id):
            told += _told(chunk)
        return frozenset(await those_there(self.documents, told))

    def _file(
        self, job: Job, kept: Collection[str], dimension: int
    ) -> AsyncGenerator[bytes]:
        match _format(job.parameters):
            case "ndjson":
                return self._lines(job, kept)
            case "npz":
                return self._npz(job, kept, dimension)
            case _:
                return self._parquet().write(self._tables(job, kept), dimension)

    async def _lines(self, job: Job, kept: Collection[str]) -> AsyncGenerator[bytes]:
        async for chunk in parts(self.documents.jobs, job.id):
            part = await self.results.load(job.id, chunk.number)
            _check(chunk, part.count(b"\n"))
            lines = zip(_told(chunk), part.splitlines(keepends=True), strict=True)
            yield b"".join(line for key, line in lines if key in kept)

    async def _npz(
        self, job: Job, kept: Collection[str], dimension: int
    ) -> AsyncGenerator[bytes]:
        """Yield an npz file; its parts are read once for each array."""
        file, count = NpzFile(), len(kept)
        yield file.array("ids", "<U32", (count,))
        async for table in self._tables(job, kept):
            yield file.add(np.array([row["id"] for row in table.records], "<U32"))
        if dimension:
            yield file.array("vectors", "<f4", (count, dimension))
            async for table in self._tables(job, kept):
                yield await asyncio.to_thread(file.add, table.vectors)
        yield file.text("records.ndjson")
        async for table in self._tables(job, kept):
            bare = Table(table.records, _NO_VECTORS)
            yield file.add(await asyncio.to_thread(to_lines, bare))
        yield file.end()

    async def _tables(self, job: Job, kept: Collection[str]) -> AsyncGenerator[Table]:
        async for chunk in parts(self.documents.jobs, job.id):
            part = await self.results.load(job.id, chunk.number)
            table = await asyncio.to_thread(unpack, part)
            _check(chunk, len(table.records))
            at = [at for at, row in enumerate(table.records) if row["id"] in kept]
            rows = table.vectors[at] if table.vectors.size else table.vectors
            yield Table([table.records[each] for each in at], rows)

    def _parquet(self) -> TableWriter:
        if self.tables:
            return self.tables
        raise InvalidInputError(
            "Parquet files are not written here: it needs the extra"
            " `dinoserve[parquet]`. The formats ndjson and npz need nothing.",
            field="parameters.format",
            value="parquet",
        )


def _told(chunk: Chunk) -> list[str]:
    """Return the assets that the chunk's part tells of, in its order."""
    failed = {failure.item for failure in chunk.failures}
    return [key for key in chunk.items if key not in failed]


def _check(chunk: Chunk, rows: int) -> None:
    """Refuse a part that a worker, taken for dead, wrote anew in this moment."""
    if rows != chunk.done:
        raise UnavailableError(
            f"Part {chunk.number} has {rows} rows, not {chunk.done}.", port="objects"
        )


def _format(parameters: Metadata) -> str:
    return text(parameters, "format") or "ndjson"


def _has_vectors(job: Job) -> bool:
    return job.parameters.get("vectors") is not False
