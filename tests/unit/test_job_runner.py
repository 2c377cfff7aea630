"""Jobs from their acceptance to their end, in one process."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest

from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import Chunk, Job, Message, Patience
from dinoserve.errors import (
    IdempotencyError,
    InvalidInputError,
    JobNotFoundError,
    JobStateError,
    OverloadedError,
    UnavailableError,
)
from dinoserve.ports import ChunkQuery, JobQuery
from dinoserve.services.jobs import Asked
from working import SWIFT, NotingKind, at_work, make_working

FIVE = Asked("note", {"items": ["a", "b", "c", "d", "e"]})


async def test_every_item_of_a_job_is_done_once() -> None:
    kind = NotingKind()
    async with at_work(make_working(kind)) as working:
        job, _ = await working.jobs.submit(FIVE)
        over = await working.over(job.id)

    assert (over.state, over.progress.done, over.progress.failed) == ("succeeded", 5, 0)
    assert Counter(kind.seen) == Counter("abcde")


async def test_a_plan_finds_the_items() -> None:
    kind = NotingKind(found=[str(at) for at in range(50)], chunk_items=1)
    async with at_work(make_working(kind)) as working:
        job, _ = await working.jobs.submit(Asked("note", {}))
        over = await working.over(job.id)

    assert (over.state, over.progress.items) == ("succeeded", 50)
    assert len(kind.seen) == 50


async def test_a_job_without_items_succeeds() -> None:
    async with at_work(make_working(NotingKind(found=[]))) as working:
        job, _ = await working.jobs.submit(Asked("note", {}))

        assert (await working.over(job.id)).state == "succeeded"


async def test_a_result_is_made_once_every_chunk_has_ended() -> None:
    async with at_work(make_working(NotingKind(has_finish=True))) as working:
        job, _ = await working.jobs.submit(FIVE)

        assert (await working.over(job.id)).result == {"done": 5}


async def test_an_item_that_fails_is_counted_with_its_reason() -> None:
    kind = NotingKind(spoilt=frozenset("b"))
    async with at_work(make_working(kind)) as working:
        job, _ = await working.jobs.submit(FIVE)
        over = await working.over(job.id)

    assert over.state == "succeeded"
    assert (over.progress.done, over.progress.reasons) == (4, {"spoilt": 1})


async def test_a_job_of_which_nothing_could_be_done_failed() -> None:
    kind = NotingKind(spoilt=frozenset("abcde"))
    async with at_work(make_working(kind)) as working:
        job, _ = await working.jobs.submit(FIVE)

        assert (await working.over(job.id)).state == "failed"


async def test_what_failed_can_be_tried_again() -> None:
    kind = NotingKind(spoilt=frozenset("bd"))
    async with at_work(make_working(kind)) as working:
        job, _ = await working.jobs.submit(FIVE)
        await working.over(job.id)
        kind.spoilt = frozenset()
        await working.jobs.retry(job.id)
        over = await working.over(job.id)

    assert (over.progress.done, over.progress.failed) == (5, 0)
    assert Counter(kind.seen)["b"] == 2
    assert Counter(kind.seen)["a"] == 1


async def test_a_chunk_that_meets_a_store_that_is_away_is_tried_again() -> None:
    tries = Counter[int]()

    def twice_away(chunk: Chunk) -> None:
        tries[chunk.number] += 1
        if tries[chunk.number] <= 2:
            raise UnavailableError("away", port="objects")

    kind = NotingKind(before=twice_away)
    async with at_work(make_working(kind)) as working:
        job, _ = await working.jobs.submit(FIVE)
        over = await working.over(job.id)

    assert (over.state, over.progress.done) == ("succeeded", 5)


async def test_an_outage_may_last_longer_than_an_error() -> None:
    tries = Counter[int]()

    def often_away(chunk: Chunk) -> None:
        tries[chunk.number] += 1
        if tries[chunk.number] <= SWIFT.tries + 2:
            raise UnavailableError("away", port="embedder")

    async with at_work(make_working(NotingKind(before=often_away))) as working:
        job, _ = await working.jobs.submit(FIVE)

        assert (await working.over(job.id)).state == "succeeded"


async def test_a_chunk_that_never_succeeds_is_buried_and_the_others_go_on() -> None:
    def spoil_first(chunk: Chunk) -> None:
        if chunk.number == 1:
            raise ValueError("a bug")

    kind = NotingKind(before=spoil_first)
    async with at_work(make_working(kind)) as working:
        job, _ = await working.jobs.submit(FIVE)
        over = await working.over(job.id)
        [letter] = await working.jobs.dead_letters(None, 10)

    assert (over.state, over.progress.done, over.progress.buried) == ("dead", 3, 1)
    assert (letter.chunk.number, letter.chunk.tries) == (1, SWIFT.tries)
    assert letter.chunk.error == "ValueError: a bug"


async def test_a_dead_letter_that_is_requeued_ends_its_job() -> None:
    is_mended = False

    def spoil_first(chunk: Chunk) -> None:
        if chunk.number == 1 and not is_mended:
            raise ValueError("a bug")

    kind = NotingKind(before=spoil_first, has_finish=True)
    async with at_work(make_working(kind)) as working:
        job, _ = await working.jobs.submit(FIVE)
        await working.over(job.id)
        is_mended = True
        await working.jobs.requeue(job.id, 1)
        over = await working.over(job.id)

        assert (over.state, over.progress.done, over.progress.buried) == (
            "succeeded",
            5,
            0,
        )
        assert await working.jobs.dead_letters(None, 10) == []


async def test_a_dead_letter_that_is_discarded_gives_its_items_up() -> None:
    def spoil_first(chunk: Chunk) -> None:
        if chunk.number == 1:
            raise ValueError("a bug")

    async with at_work(make_working(NotingKind(before=spoil_first))) as working:
        job, _ = await working.jobs.submit(FIVE)
        await working.over(job.id)
        over = await working.jobs.discard(job.id, 1)

    assert (over.state, over.progress.reasons) == ("succeeded", {"buried": 2})


async def test_the_dead_letters_of_a_cancelled_job_can_only_be_discarded() -> None:
    def spoil_first(chunk: Chunk) -> None:
        if chunk.number == 1:
            raise ValueError("a bug")

    async with at_work(make_working(NotingKind(before=spoil_first))) as working:
        job, _ = await working.jobs.submit(FIVE)
        await working.over(job.id)
        await working.jobs.cancel(job.id)
        with pytest.raises(JobStateError, match="cancelled"):
            await working.jobs.requeue(job.id, 1)

        assert (await working.jobs.discard(job.id, 1)).state == "cancelled"


async def test_a_running_job_that_is_cancelled_stops_within_a_second() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def hang(_: Chunk) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with at_work(make_working(NotingKind(before=hang))) as working:
        job, _ = await working.jobs.submit(FIVE)
        await began.wait()
        await working.jobs.cancel(job.id)
        async with asyncio.timeout(1):
            await ended.wait()

        assert (await working.jobs.get(job.id)).state == "cancelled"


async def test_a_queued_job_that_is_cancelled_never_begins() -> None:
    kind = NotingKind()
    working = make_working(kind)
    job, _ = await working.jobs.submit(FIVE)
    await working.jobs.cancel(job.id)
    other, _ = await working.jobs.submit(Asked("note", {"items": ["x"]}))
    async with at_work(working):
        await working.over(other.id)

    assert kind.seen == ["x"]


async def test_a_job_that_is_over_cannot_be_cancelled() -> None:
    async with at_work(make_working(NotingKind())) as working:
        job, _ = await working.jobs.submit(FIVE)
        await working.over(job.id)

        with pytest.raises(JobStateError, match="succeeded"):
            await working.jobs.cancel(job.id)


async def test_what_a_stopping_worker_had_begun_is_done_by_the_next() -> None:
    began = asyncio.Event()

    async def hang(_: Chunk) -> None:
        began.set()
        await asyncio.Event().wait()

    kind = NotingKind(before=hang)
    working = make_working(kind, patience=Patience(lease_s=600))
    job, _ = await working.jobs.submit(FIVE)
    async with at_work(working, slots=1):
        await began.wait()
    kind.before = lambda _: None
    async with at_work(working):
        over = await working.over(job.id)

    assert (over.state, over.progress.done) == ("succeeded", 5)


async def test_a_queue_that_forgets_everything_loses_nothing() -> None:
    kind = NotingKind()
    working = make_working(kind)
    job, _ = await working.jobs.submit(FIVE)
    forgetful = make_working(kind, store=working.store)
    async with at_work(forgetful):
        over = await forgetful.over(job.id)

    assert (over.state, over.progress.done) == ("succeeded", 5)


async def test_a_small_job_does_not_wait_for_a_large_one_to_end() -> None:
    order: list[str] = []
    kind = NotingKind(chunk_items=1, before=lambda chunk: order.append(chunk.job_id))
    working = make_working(kind)
    large, _ = await working.jobs.submit(
        Asked("note", {"items": [str(at) for at in range(200)]})
    )
    small, _ = await working.jobs.submit(Asked("note", {"items": ["x"]}))
    async with at_work(working, slots=1):
        await working.over(large.id)

    assert order.index(small.id) < 40


async def test_one_idempotency_key_is_one_job() -> None:
    working = make_working(NotingKind())
    asked = Asked("note", {"items": ["a"]}, key="mine")

    first, second = await working.jobs.submit(asked), await working.jobs.submit(asked)

    assert (first.is_new, second.is_new) == (True, False)
    assert first.job.id == second.job.id


async def test_a_key_cannot_be_used_for_something_else() -> None:
    working = make_working(NotingKind())
    await working.jobs.submit(Asked("note", {"items": ["a"]}, key="mine"))

    with pytest.raises(IdempotencyError):
        await working.jobs.submit(Asked("note", {"items": ["b"]}, key="mine"))


async def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    working = make_working(NotingKind())

    with pytest.raises(InvalidInputError, match="note"):
        await working.jobs.submit(Asked("nonsense", {}))


async def test_a_job_is_refused_while_too_much_of_its_kind_waits() -> None:
    working = make_working(NotingKind(chunk_items=1))
    for _ in range(7):  # of 16 chunks each; 100 may wait
        await working.jobs.submit(Asked("note", {"items": list("abcdefghijklmnop")}))

    with pytest.raises(OverloadedError):
        await working.jobs.submit(FIVE)


async def test_a_job_that_is_not_there_is_not_found() -> None:
    with pytest.raises(JobNotFoundError):
        await make_working(NotingKind()).jobs.get("0" * 32)


async def test_chunks_that_wait_out_a_pause_take_nobodys_turn() -> None:
    def spoil_first(chunk: Chunk) -> None:
        if chunk.number <= 40:
            raise ValueError("a bug")

    kind = NotingKind(chunk_items=1, before=spoil_first)
    working = make_working(kind, patience=Patience(pause_s=600, max_pause_s=600))
    items = [str(at) for at in range(1, 61)]
    async with at_work(working):
        job, _ = await working.jobs.submit(Asked("note", {"items": items}))
        async with asyncio.timeout(20):
            while (await working.jobs.get(job.id)).progress.done < 20:  # noqa: ASYNC110 - the store tells nobody
                await asyncio.sleep(0.005)

    assert sorted(map(int, kind.seen)) == list(range(41, 61))


async def test_a_worker_that_overslept_does_not_fail_what_another_does() -> None:
    async def overtaken(chunk: Chunk) -> None:
        def by_another(job: Job, chunks: Mapping[int, Chunk]) -> Edited:
            own = chunks[chunk.number]
            return Edited(job, [replace(own, worker="other", starts=own.starts + 1)])

        await working.store.edit(chunk.job_id, [chunk.number], by_another)
        raise ValueError("a bug")

    working = make_working(NotingKind(before=overtaken), patience=Patience(lease_s=600))
    job, _ = await working.jobs.submit(Asked("note", {"items": ["a"]}))
    await working.runner.handle(Message("note", job.id, 1, 0))
    [chunk] = await working.store.chunks(ChunkQuery(("running",), job.id))

    assert (chunk.worker, chunk.tries) == ("other", 0)


async def test_a_fault_of_the_store_does_not_end_the_looking_after_jobs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    working = make_working(NotingKind())
    forgetful = make_working(NotingKind(), store=working.store)
    job, _ = await working.jobs.submit(FIVE)
    faults = 0

    async def faulty_once(query: JobQuery) -> list[Job]:
        nonlocal faults
        faults += 1
        if faults == 1:
            raise ValueError("a bug")
        return [await forgetful.jobs.get(job.id)] if query.states else []

    monkeypatch.setattr(forgetful.store, "jobs", faulty_once)
    async with at_work(forgetful):
        assert (await forgetful.over(job.id)).state == "succeeded"
