"""What jobs make: objects that are found by their job's id."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from dataclasses import asdict, dataclass
from typing import Any, cast

from dinoserve.domain.assets import Metadata
from dinoserve.domain.jobs import Job, part_name
from dinoserve.errors import UnavailableError
from dinoserve.ports import Contents, ObjectStore


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file that a job made; `job.result["file"]` holds it as JSON.

    Attributes:
        name: to save it as, e.g. `export.parquet`.
        media_type: what it is.
        size_bytes: its length.
        sha256: its digest, in hex.
        chunk: under which number `JobResults.read` gives it.
    """

    name: str
    media_type: str
    size_bytes: int
    sha256: str
    chunk: int

    def to_json(self) -> Metadata:
        """Return it as it stands in a job's result."""
        return asdict(self)

    @classmethod
    def of(cls, job: Job) -> "ResultFile | None":
        """Return the file that the job made. None: its result is what it tells."""
        told = (job.result or {}).get("file")
        return cls(**cast("dict[str, Any]", told)) if isinstance(told, dict) else None


@dataclass(frozen=True, slots=True)
class JobResults:
    """Keeps parts of results; a chunk that is done twice replaces its own part."""

    objects: ObjectStore

    async def write(self, job_id: str, number: int, data: Contents) -> None:
        """Keep what the chunk made; errors as `ObjectBytes.put`."""
        name = part_name(job_id, number)
        # Bytes of the same length already there would be taken for the same.
        await self.objects.delete(name)
        await self.objects.put(name, data)

    async def keep(
        self, job_id: str, name: str, media_type: str, data: AsyncIterable[bytes]
    ) -> ResultFile:
        """Keep a file that the job's record will tell of; errors as `ObjectBytes.put`.

        It gets a number that no other try has: a worker that was taken for dead
        cannot change what the job's record tells of.
        """
        digest, size = hashlib.sha256(), 0

        async def counted() -> AsyncGenerator[bytes]:
            nonlocal size
            async for piece in data:
                await asyncio.to_thread(digest.update, piece)
                size += len(piece)
                yield piece

        number = free_number()
        await self.objects.put(part_name(job_id, number), counted())
        return ResultFile(name, media_type, size, digest.hexdigest(), number)

    async def size(self, job_id: str, number: int) -> int | None:
        """Return the number of bytes. Absent: None."""
        return await self.objects.size(part_name(job_id, number))

    async def read(self, job_id: str, number: int) -> AsyncGenerator[bytes]:
        """Yield what the chunk made, in pieces of bounded size.

        Raises:
            UnavailableError: it is not there.
        """
        size = await self.size(job_id, number)
        if size is None:
            raise _gone()
        async for piece in self.objects.read(part_name(job_id, number), 0, size):
            yield piece

    async def load(
        self, job_id: str, number: int, expected_bytes: int | None = None
    ) -> bytearray:
        """Return what the chunk made, as a whole.

        Raises:
            UnavailableError: it is not there, or has not the length expected.
        """
        size = await self.size(job_id, number)
        if size is None or expected_bytes not in (None, size):
            raise _gone()
        return await self.head(job_id, number, size)

    async def head(self, job_id: str, number: int, count: int) -> bytearray:
        """Return the first bytes of what the chunk made, at most so many.

        Raises:
            UnavailableError: it is not there.
        """
        data = bytearray()
        async with aclosing(self.read(job_id, number)) as pieces:
            async for piece in pieces:
                data += piece[: count - len(data)]
                if len(data) == count:
                    break
        return data

    async def erase(self, job_id: str, but: ResultFile | None = None) -> None:
        """Erase everything that the job made, but this file."""
        kept = part_name(job_id, but.chunk) if but else None
        async for found in self.objects.scan(job_id):
            if found.sha256 != kept:
                await self.objects.delete(found.sha256)


def free_number() -> int:
    """Return a number for a part that no chunk has, and no other call gave.

    It stands in JSON, where numbers are exact up to 2**53 - 1.
    """
    return -2 - secrets.randbits(52)


def _gone() -> UnavailableError:
    return UnavailableError("A part of the result is gone.", port="objects")
