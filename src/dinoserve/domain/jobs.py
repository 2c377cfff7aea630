"""Jobs: work of many items in chunks, and how far it has come."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal, NamedTuple, TypeAlias

from dinoserve.domain.assets import Metadata

JobState: TypeAlias = Literal[
    "queued", "running", "succeeded", "failed", "cancelled", "dead"
]
ChunkState: TypeAlias = Literal["waiting", "running", "done", "buried"]

LIVE: Final = frozenset[JobState]({"queued", "running"})
"""States of jobs that somebody works on, or will."""

FINISH: Final = -1
"""Number of the chunk that makes the result once all others have ended."""

PLAN: Final = 0
"""Number of the chunk that finds the items; those with items count from 1."""

JOB_ID_PATTERN = r"^[0-9a-f]{32}$"


class Failure(NamedTuple):
    """An item that was given up, and why.

    Attributes:
        item: as it stands in its chunk.
        code: of the error, e.g. `image-damaged`.
    """

    item: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job has come.

    Attributes:
        items: found so far.
        done: of them, done without a fault.
        failed: of them, given up.
        reasons: how many were given up, by code.
        chunks: with items, made so far.
        ended: of them, done or buried.
        buried: of them, in the dead letters.
        is_planned: no items will be added.
        is_ripe: the chunk that makes the result was made.
    """

    items: int = 0
    done: int = 0
    failed: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict[str, int])
    chunks: int = 0
    ended: int = 0
    buried: int = 0
    is_planned: bool = False
    is_ripe: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether no chunk with items is left to be worked on, now or later."""
        return self.is_planned and self.ended == self.chunks

    def plus(self, outcome: "Outcome") -> "Progress":
        """Return the progress with these items counted."""
        reasons = Counter(self.reasons)
        reasons.update(failure.code for failure in outcome.failures)
        return replace(
            self,
            done=self.done + outcome.done,
            failed=self.failed + len(outcome.failures),
            reasons=dict(reasons),
        )


@dataclass(frozen=True, slots=True)
class Job:
    """Work that somebody asked for; its record outlives whatever carries it out.

    Attributes:
        id: 32 hex digits.
        kind: what is done, e.g. `embed`.
        parameters: JSON, checked when the job was accepted.
        collection: whose turn it takes; None: of none.
        key: the caller's idempotency key; at most one job has it.
        fingerprint: of kind, parameters and collection, see `fingerprint`.
        has_finish: a chunk makes the result at the end.
        version: grows with every change.
        created_at: aware, UTC, as every time here.
        result: JSON, once it succeeded.
        error: why it failed; None otherwise.
        erased_at: when what it made was erased, as an asset went that it covers.
        has_leftovers: it is over, and nobody has looked since whether it left parts
            that nothing needs.
    """

    id: str
    kind: str
    parameters: Metadata
    created_at: datetime
    fingerprint: str
    collection: str | None = None
    requester: str | None = None
    key: str | None = None
    has_finish: bool = False
    state: JobState = "queued"
    version: int = 1
    started_at: datetime | None = None
    finished_at: datetime | None = None
    progress: Progress = field(default_factory=Progress)
    result: Metadata | None = None
    error: str | None = None
    erased_at: datetime | None = None
    has_leftovers: bool = False

    @property
    def can_be_retried(self) -> bool:
        """Whether items were given up, or may be, and the parts of others are kept."""
        is_over = self.state in {"succeeded", "failed"}
        given_up = self.progress.failed + self.progress.buried
        return is_over and given_up > 0 and self.erased_at is None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some items of a job, done by one worker at a time, and again if it fails.

    Attributes:
        number: `PLAN`, `FINISH`, or 1 and above.
        items: what is to be done: asset ids, names or URLs.
        cursor: of the plan: behind which item it goes on.
        run_at: not before.
        seen_at: when its worker last told that it is at it.
        starts: how often it was begun.
        tries: how often it ended with an error.
        crashes: how often its worker was not heard of again.
        done: items done without a fault.
        error: how the last try ended.
    """

    job_id: str
    number: int
    run_at: datetime
    items: tuple[str, ...] = ()
    cursor: str | None = None
    state: ChunkState = "waiting"
    worker: str | None = None
    seen_at: datetime | None = None
    starts: int = 0
    tries: int = 0
    crashes: int = 0
    done: int = 0
    failures: tuple[Failure, ...] = ()
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often.

    Attributes:
        lease_s: seconds after which a worker that tells nothing is taken for dead.
        crashes: workers that a chunk may take with it before it is buried.
        tries: errors that a chunk may end with before it is buried.
        outages: the same, where the last error was that something did not answer: with
            the pauses between them more than two hours.
        pause_s: before the second try; it doubles with each.
        max_pause_s: bound of that.
    """

    lease_s: float = 15.0
    crashes: int = 3
    tries: int = 6
    outages: int = 40
    pause_s: float = 1.0
    max_pause_s: float = 300.0


class Outcome(NamedTuple):
    """What became of a chunk's items."""

    done: int
    failures: tuple[Failure, ...] = ()


class Message(NamedTuple):
    """That a chunk wants to be worked on.

    Attributes:
        start: which start of it this asks for; a message of an earlier one is late.
    """

    kind: str
    job_id: str
    number: int
    start: int

    @property
    def key(self) -> str:
        """What tells this message from others."""
        return f"{self.job_id}.{self.number}.{self.start}"


def message(job: Job, chunk: Chunk) -> Message:
    """Return what asks for the next start of the chunk."""
    return Message(job.kind, job.id, chunk.number, chunk.starts)


def fingerprint(kind: str, parameters: Metadata, collection: str | None = None) -> str:
    """Return what is equal for equal requests: 64 hex digits."""
    asked = [kind, parameters, collection]
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def part_name(job_id: str, number: int) -> str:
    """Return the object name of what a chunk made: 64 hex digits, its job's first."""
    return job_id + hashlib.sha256(f"{job_id}/{number}".encode()).hexdigest()[:32]
