"""Each step of a job: what it changes, and when it is too early, late or another's."""

from datetime import timedelta

from dinoserve.domain import job_steps as steps
from dinoserve.domain.jobs import FINISH, PLAN
from jobs import LATER, LEASE, LOST, PATIENCE, Story, a_job
from records import NOON


def test_a_job_whose_items_are_known_is_planned() -> None:
    story = Story("ab", "c")
    progress = story.job.progress
    assert [chunk.items for chunk in story.chunks.values()] == [("a", "b"), ("c",)]
    assert (progress.items, progress.chunks, progress.is_planned) == (3, 2, True)


def test_a_job_whose_items_are_unknown_begins_with_its_plan() -> None:
    story = Story()
    assert [*story.chunks] == [PLAN]
    assert not story.job.progress.is_planned


def test_a_job_of_no_items_has_succeeded_when_it_is_accepted() -> None:
    edited = steps.first_chunks(a_job(), [], NOON)
    assert (edited.job.state, edited.job.finished_at) == ("succeeded", NOON)


def test_a_job_of_no_items_may_still_have_a_result_to_make() -> None:
    edited = steps.first_chunks(a_job(has_finish=True), [], NOON)
    assert [chunk.number for chunk in edited.chunks] == [FINISH]
    assert edited.job.state == "queued"


def test_the_first_chunk_that_begins_makes_the_job_run() -> None:
    story = Story("a", "b")
    story.begins(1, "ann")
    chunk = story.chunks[1]
    assert (story.job.state, story.job.started_at) == ("running", NOON)
    assert (chunk.state, chunk.worker, chunk.seen_at) == ("running", "ann", NOON)
    assert chunk.starts == 1


def test_a_second_chunk_that_begins_leaves_the_job_as_it_is() -> None:
    story = Story("a", "b")
    story.begins(1)
    before = story.job
    story.begins(2)
    assert story.job is before


def test_a_chunk_that_another_is_at_cannot_be_begun() -> None:
    story = Story("a")
    story.begins(1, "ann")
    assert story.begins(1, "bob") is None


def test_a_chunk_is_not_begun_before_its_time() -> None:
    story = Story("a")
    early = NOON - timedelta(microseconds=1)
    assert story.does(1, steps.begin, "ann", early, PATIENCE) is None


def test_a_chunk_whose_worker_was_silent_for_a_lease_is_begun_again() -> None:
    story = Story("a")
    story.begins(1, "ann")
    just_before = LOST - timedelta(microseconds=1)
    assert story.does(1, steps.begin, "bob", just_before, PATIENCE) is None
    assert story.does(1, steps.begin, "bob", LOST, PATIENCE)
    chunk = story.chunks[1]
    assert (chunk.worker, chunk.starts, chunk.crashes) == ("bob", 2, 1)


def test_a_worker_that_tells_of_itself_keeps_its_chunk() -> None:
    story = Story("a")
    story.begins(1)
    assert story.does(1, steps.touch, "ann", LATER)
    assert story.does(1, steps.begin, "bob", LOST, PATIENCE) is None


def test_a_worker_that_overslept_cannot_tell_of_itself() -> None:
    story = Story("a")
    story.begins(1, "ann")
    story.does(1, steps.begin, "bob", LOST, PATIENCE)
    assert story.does(1, steps.touch, "ann", LOST) is None
    assert story.does(1, steps.release, "ann", LOST) is None


def test_a_chunk_that_three_workers_died_of_is_buried() -> None:
    story = Story("a", "b")
    for lease in range(4):
        moment = NOON + lease * LEASE
        story.does(1, steps.begin, "ann", moment, PATIENCE)
    chunk = story.chunks[1]
    assert (chunk.state, chunk.crashes, chunk.starts) == ("buried", 3, 3)
    assert chunk.error == "3 workers died of it, the last was ann"
    assert (story.job.progress.buried, story.job.state) == (1, "running")


def test_the_last_chunk_that_ends_ends_the_job() -> None:
    story = Story("ab", "c")
    story.begins(1)
    story.ends(1, "b")
    assert story.job.state == "running"
    story.begins(2)
    story.ends(2)
    progress = story.job.progress
    assert (story.job.state, story.job.finished_at) == ("succeeded", LATER)
    assert (progress.done, progress.failed, progress.reasons) == (2, 1, {"bad": 1})


def test_a_chunk_that_ends_twice_is_counted_once() -> None:
    story = Story("a", "b")
    story.begins(1)
    assert story.ends(1)
    assert story.ends(1) is None


def test_what_an_overslept_worker_did_counts_if_nobody_was_faster() -> None:
    story = Story("a", "b")
    story.begins(1, "ann")
    story.does(1, steps.release, "ann", LATER)
    assert story.ends(1)
    assert story.begins(1, "bob") is None


def test_a_job_all_of_whose_items_failed_has_failed() -> None:
    story = Story("ab")
    story.begins(1)
    story.ends(1, "a", "b")
    assert story.job.state == "failed"
    assert "every item failed" in str(story.job.error)


def test_a_job_that_makes_a_result_makes_it_when_all_chunks_have_ended() -> None:
    story = Story("a", "b", has_finish=True)
    for number in (1, 2):
        assert FINISH not in story.chunks
        story.begins(number)
        story.ends(number)
    story.begins(FINISH)
    story.does(FINISH, steps.complete, {"n": 1}, LATER)
    assert (story.job.state, story.job.result) == ("succeeded", {"n": 1})
    assert story.does(FINISH, steps.complete, {"n": 2}, LATER) is None


def test_a_plan_adds_chunks_behind_those_that_are_there() -> None:
    story = Story()
    story.begins(PLAN)
    story.does(PLAN, steps.extend, [["a", "b"], ["c"]], (None, "c"), LATER)
    story.does(PLAN, steps.extend, [["d"]], ("c", "d"), LATER)
    items = [chunk.items for number, chunk in story.chunks.items() if number >= 1]
    assert items == [("a", "b"), ("c",), ("d",)]
    assert (story.job.progress.items, story.chunks[PLAN].cursor) == (4, "d")


def test_a_plan_that_another_extended_meanwhile_is_not_extended_twice() -> None:
    story = Story()
    story.begins(PLAN)
    story.does(PLAN, steps.extend, [["a"]], (None, "a"), LATER)
    assert story.does(PLAN, steps.extend, [["a"]], (None, "a"), LATER) is None


def test_a_job_goes_on_until_its_plan_has_ended() -> None:
    story = Story()
    story.begins(PLAN)
    story.does(PLAN, steps.extend, [["a"]], (None, "a"), LATER)
    story.begins(1)
    story.ends(1)
    assert story.job.state == "running"
    story.does(PLAN, steps.end_plan, LATER)
    assert story.job.state == "succeeded"


def test_a_plan_that_finds_nothing_ends_the_job() -> None:
    story = Story()
    story.begins(PLAN)
    story.does(PLAN, steps.end_plan, LATER)
    assert story.job.state == "succeeded"
    assert story.does(PLAN, steps.extend, [["a"]], (None, "a"), LATER) is None


def test_pauses_between_tries_double_up_to_their_bound() -> None:
    story, pauses = Story("a", "b"), list[float]()
    for _ in range(3):
        story.begins(1)
        story.does(1, steps.fault, "away", LATER, PATIENCE)
        pauses.append((story.chunks[1].run_at - LATER).total_seconds())
    assert pauses == [1, 2, 3]
    assert (story.chunks[1].tries, story.chunks[1].error) == (3, "away")


def test_a_chunk_that_failed_too_often_is_buried_and_the_others_go_on() -> None:
    story = Story("a", "b")
    for _ in range(4):
        story.begins(1)
        story.does(1, steps.fault, "away", LATER, PATIENCE)
    assert (story.chunks[1].state, story.job.state) == ("buried", "running")
    story.begins(2)
    story.ends(2)
    assert (story.job.state, story.job.finished_at) == ("dead", LATER)


def test_an_error_is_told_too_late_of_a_chunk_that_nobody_is_at() -> None:
    story = Story("a", "b")
    for number in (1, 2):
        story.begins(number)
    story.ends(1)
    story.does(2, steps.release, "ann", LATER)
    for number in (1, 2):
        assert story.does(number, steps.fault, "bad", LATER, PATIENCE) is None


def test_a_chunk_given_back_is_begun_again_unharmed() -> None:
    story = Story("a")
    story.begins(1, "ann")
    story.does(1, steps.release, "ann", LATER)
    story.begins(1, "bob")
    chunk = story.chunks[1]
    assert (chunk.worker, chunk.tries, chunk.crashes) == ("bob", 0, 0)
