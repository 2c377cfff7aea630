"""Counting, showing and stopping long work."""

import asyncio

import pytest

from dinoserve.cli.client import NoServerError
from dinoserve.cli.progress import Bar, Tally, work_off


async def test_work_starts_in_the_order_of_the_items() -> None:
    seen: list[int] = []

    async def work(item: int) -> None:
        seen.append(item)
        await asyncio.sleep(0)

    await work_off(range(20), work, Tally(20, "things", ["done"]), workers=3)
    assert seen == list(range(20))


async def test_an_interrupted_run_keeps_what_it_counted() -> None:
    tally = Tally(10, "things", ["done"])
    task: asyncio.Task[None] | None = None

    async def work(item: int) -> None:
        if item == 4 and task:
            task.cancel()
        await asyncio.sleep(0)
        tally.outcomes["done"] += 1

    task = asyncio.create_task(work_off(range(10), work, tally, workers=1))
    await task
    assert (tally.done, tally.stopped, tally.exit_code) == (4, "interrupted", 130)


async def test_work_that_cannot_go_on_ends_the_run_with_the_reason() -> None:
    tally = Tally(10, "things", ["done"])

    async def work(item: int) -> None:
        if item == 3:
            raise NoServerError("http://x", "refused")
        tally.outcomes["done"] += 1

    await work_off(range(10), work, tally, workers=1)
    assert "http://x" in tally.stopped
    assert (tally.done, tally.exit_code) == (3, 1)


async def test_a_bug_in_the_work_is_not_swallowed() -> None:
    async def work(item: int) -> None:
        raise ZeroDivisionError(item)

    with pytest.RaisesGroup(ZeroDivisionError):
        await work_off([1], work, Tally(1, "things", ["done"]), workers=1)


def test_failures_are_grouped_by_code_and_the_first_twenty_named() -> None:
    tally = Tally(30, "things", ["done"])
    for number in range(30):
        tally.fail(f"{number:02}", "odd" if number % 3 else "even", "why")
    tally.close()
    lines = tally.lines()
    assert lines[1:3] == ["  20 odd", "  10 even"]
    assert lines[3] == "  00: even: why"
    assert lines[-2:] == ["  19: odd: why", "  … and 10 more"]


def test_every_failure_is_in_the_json() -> None:
    tally = Tally(30, "things", ["done"])
    for number in range(30):
        tally.fail(str(number), "odd", "why")
    assert len(tally.as_json()["failures"]) == 30


def test_nothing_to_do_is_no_failure() -> None:
    tally = Tally(0, "things", ["done"])
    tally.close()
    assert (tally.exit_code, tally.rate) == (0, 0)


def test_without_a_terminal_progress_is_plain_lines_on_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tally = Tally(10, "images", ["done"])
    tally.outcomes["done"] += 3
    tally.fail("a.jpg", "odd", "why")
    with Bar(tally, plain_every_s=0) as bar:
        bar.show()
    said = capsys.readouterr()
    assert said.err.startswith("4/10 images, ")
    assert said.err.endswith(" s left, 1 failed\n")
    assert "\x1b" not in said.err
    assert not said.out
