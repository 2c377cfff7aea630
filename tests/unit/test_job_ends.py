"""Jobs that are over or dead: what may still happen to them, and what may not."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from dinoserve.domain import job_steps as steps
from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import FINISH, PLAN, Chunk, Job, JobState
from jobs import LATER, LEASE, LOST, PATIENCE, Story, a_job


@pytest.mark.parametrize("number", [PLAN, FINISH])
def test_a_job_whose_plan_or_result_is_buried_is_dead(number: int) -> None:
    story = planned_or_finished(number)
    story.is_buried(number)
    assert story.job.state == "dead"
    story.does(number, steps.requeue, LATER)
    assert (story.job.state, story.job.error) == ("running", None)
    assert story.begins(number)


@pytest.mark.parametrize("number", [PLAN, FINISH])
def test_a_job_whose_plan_or_result_is_given_up_has_failed(number: int) -> None:
    story = planned_or_finished(number)
    story.is_buried(number)
    story.does(number, steps.discard, LATER)
    assert (story.job.state, story.job.error) == ("failed", "bad")


def test_what_a_worker_did_of_a_chunk_that_is_buried_does_not_count() -> None:
    story = Story("a", "b")
    story.is_buried(1)
    before = story.job.progress
    assert story.ends(1) is None
    assert story.job.progress == before


def planned_or_finished(number: int) -> Story:
    if number == PLAN:
        return Story()
    story = Story("a", has_finish=True)
    story.begins(1)
    story.ends(1)
    return story


def a_job_with_a_dead_letter_and_a_dead_plan() -> Story:
    story = Story()
    story.begins(PLAN)
    story.does(PLAN, steps.extend, [["a"]], (None, "a"), LATER)
    story.does(PLAN, steps.release, "ann", LATER)
    story.is_buried(1)
    story.is_buried(PLAN)
    return story


@pytest.mark.parametrize("step", [steps.requeue, steps.discard])
def test_a_job_stays_dead_until_its_plan_is_taken_out(
    step: Callable[[Job, Chunk, object], Edited | None],
) -> None:
    story = a_job_with_a_dead_letter_and_a_dead_plan()
    story.does(1, step, LATER)
    assert (story.job.state, story.job.progress.buried) == ("dead", 0)
    story.does(PLAN, steps.requeue, LATER)
    assert story.job.state == "running"


def test_items_of_a_job_whose_plan_was_given_up_can_be_tried_to_an_end() -> None:
    story = a_job_with_a_dead_letter_and_a_dead_plan()
    story.does(PLAN, steps.discard, LATER)
    story.does(1, steps.discard, LATER)
    assert story.retries()
    story.begins(2)
    story.ends(2)
    assert story.job.state == "succeeded"


def test_a_dead_letter_that_is_requeued_is_tried_as_if_new() -> None:
    story = Story("a")
    story.is_buried(1)
    assert story.job.state == "dead"
    story.does(1, steps.requeue, LATER)
    chunk, progress = story.chunks[1], story.job.progress
    assert (chunk.state, chunk.tries, chunk.crashes) == ("waiting", 0, 0)
    assert (story.job.state, progress.ended, progress.buried) == ("running", 0, 0)
    assert story.job.finished_at is None


def test_items_of_a_dead_letter_that_is_given_up_have_failed() -> None:
    story = Story("ab", "c")
    story.begins(2)
    story.ends(2)
    story.is_buried(1)
    story.does(1, steps.discard, LATER)
    progress = story.job.progress
    assert (story.job.state, progress.failed, progress.buried) == ("succeeded", 2, 0)
    assert progress.reasons == {"buried": 2}


def test_a_dead_letter_of_a_cancelled_job_is_given_up_and_the_job_stays_so() -> None:
    story = Story("a")
    story.is_buried(1)
    story.is_stopped(steps.cancel)
    assert story.does(1, steps.requeue, LATER) is None
    assert story.does(1, steps.discard, LATER)
    assert story.job.state == "cancelled"
    assert (story.job.progress.buried, story.job.progress.failed) == (0, 1)


def test_failed_items_are_retried_in_new_chunks() -> None:
    story = Story("ab", "c")
    for number, failed in ((1, "b"), (2, "c")):
        story.begins(number)
        story.ends(number, failed)
    assert story.retries()
    progress = story.job.progress
    assert [story.chunks[number].items for number in (3, 4)] == [("b",), ("c",)]
    assert (progress.done, progress.failed, progress.reasons) == (1, 0, {})
    assert (story.job.state, story.job.finished_at) == ("running", None)
    assert story.retries() is None


def test_an_item_that_failed_again_is_retried_once_more_and_no_other() -> None:
    story = Story("ab")
    story.begins(1)
    story.ends(1, "a", "b")
    story.retries()
    story.begins(2)
    story.ends(2, "b")
    assert story.retries()
    assert [*story.chunks] == [1, 2, 3]
    assert story.chunks[3].items == ("b",)
    assert (story.job.progress.done, story.job.progress.failed) == (1, 0)


def test_a_job_in_which_nothing_failed_cannot_be_retried() -> None:
    story = Story("a")
    story.begins(1)
    story.ends(1)
    assert story.retries() is None


def test_a_result_is_made_anew_after_a_retry_and_not_before() -> None:
    story = Story("ab", has_finish=True)
    story.begins(1)
    story.ends(1, "b")
    story.begins(FINISH)
    story.is_stopped(steps.fail, "no room")
    story.retries()
    assert story.does(FINISH, steps.begin, "bob", LOST + LEASE, PATIENCE) is None
    assert story.does(FINISH, steps.complete, {"old": 1}, LATER) is None
    story.begins(2)
    story.ends(2)
    assert story.begins(FINISH)
    story.does(FINISH, steps.complete, {"new": 1}, LATER)
    assert (story.job.state, story.job.result) == ("succeeded", {"new": 1})


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled", "dead"])
def test_nobody_works_on_a_job_that_is_over(state: JobState) -> None:
    story = Story("a", "b")
    story.begins(1)
    story.job = replace(story.job, state=state)
    assert story.begins(2) is None
    assert story.ends(1) is None
    assert story.does(1, steps.fault, "bad", LATER, PATIENCE) is None
    assert steps.fail(story.job, "bad", LATER) is None


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
def test_a_job_that_is_over_cannot_be_cancelled(state: JobState) -> None:
    assert steps.cancel(a_job(state=state), LATER) is None


@pytest.mark.parametrize("state", ["queued", "running", "dead"])
def test_a_job_that_is_not_over_is_cancelled(state: JobState) -> None:
    edited = steps.cancel(a_job(state=state), LATER)
    assert edited is not None
    assert (edited.job.state, edited.job.finished_at) == ("cancelled", LATER)
    assert edited.job.version == 2


def test_a_worker_of_a_cancelled_job_gives_its_chunk_back() -> None:
    story = Story("a")
    story.begins(1)
    story.is_stopped(steps.cancel)
    assert story.does(1, steps.release, "ann", LATER)
    assert story.begins(1) is None
