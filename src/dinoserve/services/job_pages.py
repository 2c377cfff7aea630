"""Long lists about jobs, one page at a time."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import NamedTuple

from dinoserve.domain.jobs import Failure, Job
from dinoserve.ports import ChunkQuery, JobCursor, JobQuery
from dinoserve.services.jobs import DeadLetter, JobService

_LETTERS = 500
# A page of failures looks at so many chunks, failed or not: some MB of their items.
_CHUNKS = 200


class JobPage(NamedTuple):
    """Some jobs, and behind which the next page begins; None: this was the last."""

    jobs: list[Job]
    next: JobCursor | None


class FailurePlace(NamedTuple):
    """Behind which failure a page begins: of which chunk, and how many of it."""

    chunk: int
    behind: int


class FailedItem(NamedTuple):
    """An item that was given up, and the chunk that it was in."""

    chunk: int
    failure: Failure


class FailurePage(NamedTuple):
    """Some failures, perhaps none; `next` None: this was the last page."""

    items: list[FailedItem]
    next: FailurePlace | None


class LetterPage(NamedTuple):
    """Some dead letters, perhaps none; `next` None: this was the last page."""

    letters: list[DeadLetter]
    next: tuple[str, int] | None


@dataclass(frozen=True, slots=True)
class JobPages:
    """Walks over what jobs there are, what failed in one, and dead letters."""

    jobs: JobService

    async def of_jobs(self, query: JobQuery) -> JobPage:
        """Return the page that the query asks for."""
        found = await self.jobs.find(query)
        if len(found) < query.limit:
            return JobPage(found, None)
        after = JobCursor(found[-1].created_at, found[-1].id)
        more = await self.jobs.find(replace(query, after=after, limit=1))
        return JobPage(found, after if more else None)

    async def of_failures(
        self, job_id: str, after: FailurePlace | None, limit: int
    ) -> FailurePage:
        """Return items of the job that were given up, by chunk.

        Raises:
            JobNotFoundError: there is no such job.
        """
        job = await self.jobs.get(job_id)
        if not job.progress.failed:
            return FailurePage([], None)
        start = after or FailurePlace(1, 0)
        query = ChunkQuery(
            ("done",), job_id, after=(job_id, start.chunk - 1), limit=_CHUNKS
        )
        chunks = await self.jobs.store.chunks(query)
        failed = [
            (FailurePlace(chunk.number, at), failure)
            for chunk in chunks
            for at, failure in enumerate(chunk.failures, 1)
            if (chunk.number, at) > start
        ]
        items = [FailedItem(place.chunk, each) for place, each in failed[:limit]]
        if len(failed) > limit:
            return FailurePage(items, failed[limit - 1][0])
        is_end = len(chunks) < _CHUNKS
        return FailurePage(
            items, None if is_end else FailurePlace(chunks[-1].number + 1, 0)
        )

    async def of_letters(
        self, kind: str | None, after: tuple[str, int] | None, limit: int
    ) -> LetterPage:
        """Return dead letters, by job id and chunk number.

        Args:
            kind: only those of such jobs; the page has fewer then.
            after: continue behind this job and chunk.
            limit: that are looked at, 1 to 1000.
        """
        page = await self.jobs.dead_letters(after, limit)
        letters = [each for each in page if kind in (None, each.job.kind)]
        return LetterPage(letters, _place(page[-1]) if len(page) == limit else None)

    async def every_letter(self, kind: str | None) -> AsyncGenerator[DeadLetter]:
        """Yield every dead letter of the kind; None: of every kind."""
        after: tuple[str, int] | None = None
        while page := await self.jobs.dead_letters(after, _LETTERS):
            for letter in page:
                if kind in (None, letter.job.kind):
                    yield letter
            after = _place(page[-1])


def _place(letter: DeadLetter) -> tuple[str, int]:
    return letter.chunk.job_id, letter.chunk.number
