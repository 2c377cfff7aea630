"""Where jobs are kept, and what brings their chunks to workers."""

from collections.abc import (
    Awaitable,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol, TypeAlias

from dinoserve.domain.job_erasure import Erasure
from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import Chunk, ChunkState, Job, JobState, Message

Edit: TypeAlias = Callable[[Job, Mapping[int, Chunk]], Edited | None]
"""From what is stored to what shall be; pure, as it may be asked more than once.

Chunks that are not there are left out of what it is given.
"""


class JobCursor(NamedTuple):
    """The last job of the page before."""

    created_at: datetime
    id: str


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs; ties of time are ordered by id.

    Attributes:
        states: any of these; empty: all.
        collection: only of this one; empty: of none.
        after: continue behind this job.
        is_oldest_first: else the newest come first.
        limit: 1 to 1000.
    """

    states: Collection[JobState] = ()
    kind: str | None = None
    collection: str | None = None
    after: JobCursor | None = None
    is_oldest_first: bool = False
    limit: int = 50


class Waiting(NamedTuple):
    """What waits of one kind in one collection, or is worked on.

    Attributes:
        collection: None: of no collection.
        jobs: that are live.
        chunks: of them, that have not ended.
    """

    kind: str
    collection: str | None
    jobs: int
    chunks: int


@dataclass(frozen=True, slots=True)
class ChunkQuery:
    """Which chunks, by job id and number.

    Attributes:
        job_id: of this job; None: of every job.
        states: any of these.
        after: continue behind this job and number.
        limit: 1 to 1000.
    """

    states: Collection[ChunkState]
    job_id: str | None = None
    after: tuple[str, int] | None = None
    limit: int = 50


class JobUpkeep(Protocol):
    """What keeps results true when assets go, and the queue bounded."""

    async def telling(
        self, names: Collection[str], after: str, limit: int
    ) -> list[Job]:
        """Return jobs that cover any of these names, see `job_erasure.covered`.

        Order: by id; those behind `after`, at most `limit`.
        """
        ...

    async def untidy(self, before: datetime, limit: int) -> list[Job]:
        """Return jobs with leftovers that were over by then, by id, at most so many."""
        ...

    async def waiting(self, most: int) -> list[Waiting]:
        """Return how much waits of each kind and collection; none: left out.

        A live job counts for one chunk at least, and for `most` at most.
        """
        ...

    async def erasures(self, limit: int) -> list[Erasure]:
        """Return erasures that were not settled, the oldest first, at most so many.

        `AssetStore.remove` notes them in the same transaction; where no job covers the
        asset, it need not.
        """
        ...

    async def settle(self, erasures: Collection[Erasure]) -> None:
        """Forget these erasures; those that are gone: nothing happens."""
        ...


class JobStore(JobUpkeep, Protocol):
    """Jobs and their chunks; what brings them to workers may forget everything."""

    async def accept(self, job: Job, chunks: Sequence[Chunk]) -> Job:
        """Store a new job; return it, or the one that has its idempotency key."""
        ...

    async def edit(
        self, job_id: str, numbers: Collection[int], edit: Edit
    ) -> Edited | None:
        """Store what `edit` makes of the job and these chunks, in one transaction.

        What it gives replaces what is there; chunks that are new are added.

        Returns:
            What was stored; None: the edit wants nothing, or there is no such job.
        """
        ...

    async def jobs(self, query: JobQuery) -> list[Job]:
        """Return jobs in the query's order."""
        ...

    async def job(self, job_id: str) -> Job | None:
        """Return the job. Absent: None."""
        ...

    async def chunks(self, query: ChunkQuery) -> list[Chunk]:
        """Return chunks. Order: by job id, then number."""
        ...

    async def forget(self, job_id: str) -> None:
        """Erase a job with its chunks. Absent: nothing happens."""
        ...


Handler: TypeAlias = Callable[[Message], Awaitable[None]]
"""Works on a chunk; what it raises is logged, and the message is gone."""


class JobQueue(Protocol):
    """Brings messages to workers, at least once; may lose them: the store may not."""

    async def send(self, messages: Sequence[tuple[Message, datetime]]) -> None:
        """Bring each message to one worker, not before its time.

        A message that is on its way already is not sent twice.
        """
        ...

    def serve(
        self, kinds: Collection[str], handler: Handler, slots: int
    ) -> AbstractAsyncContextManager[None]:
        """Work on messages of these kinds during the block, so many at a time.

        A message whose worker dies comes to another after a while. At the end no
        further message is taken, and those begun are cancelled.
        """
        ...

    async def lengths(self) -> Mapping[str, int]:
        """Return how many messages of each kind wait or are worked on; 0: left out."""
        ...

    async def ping(self) -> str:
        """Return name and version of what carries it; raise UnavailableError."""
        ...
