"""Events of jobs, over real connections."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from dinoserve.domain.jobs import Progress
from dinoserve.services.job_watching import JobWatching
from event_crowd import change, crowd, listening, watcher
from served_jobs import Served
from working import NotingKind, make_working

_CHANGES = 10_000
_GROWTH_BYTES = 8_000_000


@dataclass
class Watchable:
    """One queued job that nobody works on, and where it is watched."""

    app: Served
    watching: JobWatching
    port: int
    job_id: str

    @property
    def path(self) -> str:
        return f"/v1/jobs/{self.job_id}/events"

    async def change(self, **changes: object) -> None:
        await change(self.app.working.store, self.job_id, **changes)

    async def unwatched(self) -> None:
        """Return once nobody watches."""
        async with asyncio.timeout(10):
            while self.watching.watchers:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.001)


@asynccontextmanager
async def watchable(most: int = 500, pause_s: float = 0) -> AsyncGenerator[Watchable]:
    working = make_working(NotingKind(found=[], name="embed"))
    watching = JobWatching(working.jobs, most, pause_s, pause_s)
    async with Served.over(working, watching) as app, listening(app.app) as port:
        job = await app.submitted()
        yield Watchable(app, watching, port, job["id"])


def told(event: str) -> tuple[str, int, dict[str, Any]]:
    """Name, id and data of an event; the id of `end` is 0."""
    fields = dict(line.split(": ", 1) for line in event.splitlines())
    return fields["event"], int(fields.get("id", 0)), json.loads(fields["data"])


async def test_a_watcher_is_told_the_job_its_changes_and_the_end() -> None:
    async with watchable() as at, watcher(at.port, at.path) as seen:
        first = told(await seen.event())
        await at.change(state="running", progress=Progress(items=5))
        second = told(await seen.event())
        await at.change(state="succeeded")
        third, end = told(await seen.event()), told(await seen.event())

    assert [name for name, _, _ in (first, second, third, end)] == [
        "job",
        "job",
        "job",
        "end",
    ]
    assert [each[1] for each in (first, second, third)] == [1, 2, 3]
    assert second[2]["progress"]["items"] == 5
    assert end[2] == {"id": at.job_id, "state": "succeeded"}


async def test_the_data_of_an_event_is_the_job() -> None:
    async with watchable() as at, watcher(at.port, at.path) as seen:
        _, _, data = told(await seen.event())
        job = (await at.app.client.get(f"/v1/jobs/{at.job_id}")).json()
    assert data == job


async def test_a_watcher_that_comes_back_is_told_what_is_newer() -> None:
    async with watchable() as at:
        await at.change()
        async with watcher(at.port, at.path, "last-event-id: 1\r\n") as seen:
            assert told(await seen.event())[1] == 2


async def test_a_watcher_that_knows_the_newest_is_told_only_of_changes() -> None:
    async with (
        watchable() as at,
        watcher(at.port, at.path, "last-event-id: 1\r\n") as seen,
    ):
        await at.change()
        assert told(await seen.event())[1] == 2


async def test_a_job_that_is_over_is_told_with_its_end_though_it_is_known() -> None:
    async with watchable() as at:
        await at.change(state="cancelled")
        async with watcher(at.port, at.path, "last-event-id: 2\r\n") as seen:
            names = [told(await seen.event())[0] for _ in range(2)]
    assert names == ["job", "end"]


async def test_a_job_that_is_forgotten_ends_its_watch() -> None:
    async with watchable() as at, watcher(at.port, at.path) as seen:
        await seen.event()
        await at.app.working.store.forget(at.job_id)
        assert told(await seen.event()) == (
            "end",
            0,
            {"id": at.job_id, "state": None},
        )


async def test_silence_is_broken_by_a_comment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dinoserve.web.job_events.BEAT_S", 0.01)
    async with watchable() as at, watcher(at.port, at.path) as seen:
        await seen.event()
        assert await seen.event() == ": still here"


@pytest.mark.parametrize("known", ["-1", "x", "1.5", "9" * 16, "²"])
async def test_an_event_id_that_was_never_given_out_is_refused(known: str) -> None:
    async with watchable() as at:
        headers = [(b"last-event-id", known.encode("latin-1"))]
        answer = await at.app.client.get(at.path, headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (400, "last-event-id")


async def test_more_watchers_than_allowed_are_refused() -> None:
    async with watchable(most=2) as at, crowd(at.port, at.path, 2):
        answer = await at.app.client.get(at.path)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "5")


async def test_who_leaves_makes_room_for_others() -> None:
    async with watchable(most=1) as at:
        async with watcher(at.port, at.path) as seen:
            await seen.event()
        await at.unwatched()
        async with watcher(at.port, at.path) as seen:
            assert told(await seen.event())[0] == "job"


async def test_a_server_that_stops_ends_every_watch() -> None:
    async with watchable() as at, watcher(at.port, at.path) as seen:
        await seen.event()
        at.watching.close()
        left = await seen.reader.readuntil(b"0\r\n\r\n")
    assert left == b"0\r\n\r\n"  # the stream is complete, and no end was told


async def test_memory_stays_flat_though_one_of_fifty_watchers_never_reads() -> None:
    process = psutil.Process()
    async with watchable() as at, crowd(at.port, at.path, 50) as (idle, *busy):
        reading = [asyncio.create_task(each.read_all()) for each in busy]
        before = process.memory_info().rss
        for number in range(_CHANGES):
            await at.change()
            if number % 10 == 0:  # time to look at it, and to send it
                for _ in range(3):
                    await asyncio.sleep(0)
        grown = process.memory_info().rss - before
        await at.change(state="succeeded")
        await asyncio.gather(*reading, idle.read_all())

    fewest = min(each.events for each in busy)
    assert grown < _GROWTH_BYTES
    assert fewest > 500
    assert idle.events < fewest / 2  # the states between were not kept for it
    assert b'"state": "succeeded"' in idle.last
