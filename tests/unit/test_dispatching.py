"""What is brought to the queue: of whom, how much, and what when it is away."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import pytest

from dinoserve.adapters.memory_queue import MemoryQueue
from dinoserve.domain import job_steps as steps
from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import FINISH, PLAN, Chunk, Job, Message, message
from dinoserve.errors import OverloadedError, UnavailableError
from dinoserve.ports import ChunkQuery, JobQuery
from dinoserve.services.dispatching import TURN, WINDOW
from dinoserve.services.jobs import Asked
from dinoserve.telemetry import Metrics
from records import NOON
from working import NotingKind, Working, at_work, make_working

ALL = JobQuery(limit=1000)
LARGE = [str(at) for at in range(3 * WINDOW)]


class AwayQueue(MemoryQueue):
    """A queue that cannot be reached."""

    async def send(self, messages: Sequence[tuple[Message, datetime]]) -> None:
        del messages
        raise UnavailableError("It is away.", port="queue")


class NotingQueue(MemoryQueue):
    """A queue that notes what it was sent."""

    def __init__(self) -> None:
        super().__init__(Metrics())
        self.sent: list[Message] = []

    async def send(self, messages: Sequence[tuple[Message, datetime]]) -> None:
        self.sent += [message for message, _ in messages]
        await super().send(messages)


def noted(kind: NotingKind) -> tuple[Working, NotingQueue]:
    """Return jobs of this kind, and the queue that they are sent to."""
    working, queue = make_working(kind), NotingQueue()
    dispatcher = replace(working.jobs.dispatcher, queue=queue)
    jobs = replace(working.jobs, dispatcher=dispatcher, max_waiting=10_000)
    runner = replace(working.runner, dispatcher=dispatcher)
    return replace(working, jobs=jobs, runner=runner, queue=queue), queue


async def submit(working: Working, count: int, collection: str, *items: str) -> None:
    for _ in range(count):
        asked = Asked("note", {"items": list(items)}, collection=collection)
        await working.jobs.submit(asked)


async def test_a_job_need_not_wait_for_twenty_of_another_collection() -> None:
    kind = NotingKind(chunk_items=1)
    working = make_working(kind)
    working = replace(working, jobs=replace(working.jobs, max_waiting=10_000))
    await submit(working, 20, "cats", *LARGE)
    await submit(working, 1, "dogs", *("dog" for _ in range(4)))

    async with at_work(working, slots=1):
        [dogs] = [j for j in await working.store.jobs(ALL) if j.collection == "dogs"]
        await working.over(dogs.id)

    before = len(kind.seen) - kind.seen[::-1].index("dog")
    assert before < 100, "of 960 that cats had been given before"


async def test_jobs_of_one_collection_beyond_a_turn_wait_for_the_oldest() -> None:
    working = make_working(NotingKind(chunk_items=1))
    working = replace(working, jobs=replace(working.jobs, max_waiting=10_000))

    await submit(working, 3 * TURN, "cats", "a")

    assert (await working.queue.lengths())["note"] == TURN


async def test_jobs_that_wait_for_their_turn_are_all_done() -> None:
    kind = NotingKind(chunk_items=1)
    working = make_working(kind)
    working = replace(working, jobs=replace(working.jobs, max_waiting=10_000))
    await submit(working, 5 * TURN, "cats", "a")

    async with at_work(working, slots=4):
        for job in await working.store.jobs(ALL):
            assert (await working.over(job.id)).state == "succeeded"

    assert len(kind.seen) == 5 * TURN


async def test_the_last_that_wait_for_their_turn_need_no_reconciler() -> None:
    kind = NotingKind(chunk_items=1)
    working = make_working(kind)
    working = replace(working, jobs=replace(working.jobs, max_waiting=10_000))
    await submit(working, TURN + 5, "cats", "a")

    async with working.queue.serve(["note"], working.runner.handle, 4):
        for job in await working.store.jobs(ALL):
            assert (await working.over(job.id)).state == "succeeded"

    assert len(kind.seen) == TURN + 5


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(NotingKind(chunk_items=1), id="items"),
        pytest.param(NotingKind(chunk_items=10**6), id="one chunk"),
        pytest.param(NotingKind(found=["a"]), id="plan"),
        pytest.param(NotingKind(found=["a"], has_finish=True), id="plan and result"),
    ],
)
async def test_a_new_job_is_sent_what_the_store_has_of_it(kind: NotingKind) -> None:
    working, queue = noted(kind)

    await submit(working, 1, "cats", *LARGE)

    [job] = await working.store.jobs(ALL)
    kept = await working.store.chunks(ChunkQuery(("waiting",), job.id, limit=WINDOW))
    assert queue.sent == [message(job, chunk) for chunk in kept]


async def test_a_new_job_of_no_items_is_sent_to_make_its_result() -> None:
    working, queue = noted(NotingKind(has_finish=True))

    await submit(working, 1, "cats")

    [job] = await working.store.jobs(ALL)
    assert queue.sent == [Message("note", job.id, FINISH, 0)]


async def test_a_job_that_waits_for_its_turn_is_sent_once() -> None:
    working, queue = noted(NotingKind(chunk_items=1))
    await submit(working, 3 * TURN, "cats", "a")

    async with queue.serve(["note"], working.runner.handle, 1):
        for job in await working.store.jobs(ALL):
            await working.over(job.id)

    assert len(queue.sent) == len({*queue.sent}) == 3 * TURN


async def test_jobs_are_accepted_while_the_queue_is_away_until_too_many_wait() -> None:
    working = make_working(NotingKind(chunk_items=1))
    queue = AwayQueue(Metrics())
    dispatcher = replace(working.jobs.dispatcher, queue=queue)
    working = replace(working, jobs=replace(working.jobs, dispatcher=dispatcher))

    await submit(working, 7, "cats", *LARGE)

    with pytest.raises(OverloadedError, match="DINOSERVE_MAX_WAITING_CHUNKS"):
        await submit(working, 1, "cats", "a")
    assert len(await working.store.jobs(ALL)) == 7


async def test_one_large_job_leaves_room_for_others_of_its_kind() -> None:
    working = make_working(NotingKind(chunk_items=1))

    await submit(working, 1, "cats", *(str(at) for at in range(200)))
    await submit(working, 1, "dogs", "a")

    assert len(await working.store.jobs(ALL)) == 2


async def test_a_job_whose_plan_is_buried_loses_no_chunk_that_was_running() -> None:
    held = Held()
    kind = NotingKind(found=["a"], chunk_items=1, before=held)
    working = make_working(kind)
    job, _ = await working.jobs.submit(Asked("note", {}))
    async with at_work(working, slots=2):
        await held.begun.wait()
        await bury_plan(working, job.id)
        await held.gone.wait()
        await working.jobs.requeue(job.id, PLAN)
        held.may_end.set()
        over = await working.over(job.id)

    [chunk] = await working.store.chunks(ChunkQuery(("done",), job.id, (job.id, 0)))
    assert (over.state, over.progress.done, chunk.crashes) == ("succeeded", 1, 0)


class Held:
    """What a chunk does: wait, until it may end."""

    def __init__(self) -> None:
        self.begun, self.gone, self.may_end = (asyncio.Event() for _ in range(3))

    async def __call__(self, chunk: Chunk) -> None:
        del chunk
        self.begun.set()
        try:
            await self.may_end.wait()
        finally:
            self.gone.set()


async def bury_plan(working: Working, job_id: str) -> None:
    """Bury the plan, whatever its worker did meanwhile."""

    def edit(job: Job, chunks: Mapping[int, Chunk]) -> Edited:
        progress = replace(job.progress, is_planned=False)
        return steps.bury(replace(job, progress=progress), chunks[PLAN], "bad", NOON)

    assert await working.store.edit(job_id, [PLAN], edit)
