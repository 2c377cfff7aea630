"""Erasing what jobs made: results that tell of erased assets, and parts left over."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from dinoserve.domain import job_erasure as erasure
from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import FINISH, LIVE, Job
from dinoserve.errors import UnavailableError
from dinoserve.ports import JobStore
from dinoserve.services.job_results import JobResults, ResultFile

_log = logging.getLogger(__name__)

_PAGE: Final = 100
_ERASURES: Final = 1000
_PAUSE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class JobErasure:
    """Erases of jobs what nobody needs, or nobody may have any more.

    Attributes:
        rest_s: after which a worker that was at a job when it ended has written its
            last part: a lease.
    """

    store: JobStore
    results: JobResults
    now: Callable[[], datetime]
    rest_s: float

    async def of_asset(self, asset_id: str, collection: str) -> None:
        """Erase results that cover the asset, once its record is gone.

        What cannot be erased now is noted, and left to `catch_up`.
        """
        try:
            await self._erase({asset_id, collection, erasure.EVERYTHING})
        except UnavailableError as error:
            _log.warning("results with asset %s go later: %s", asset_id, error.detail)

    async def tidy(self, job: Job) -> None:
        """Erase what a job that is over has beside its file.

        Parts stay as long as a retry would need them.
        """
        if not job.can_be_retried:
            await self.results.erase(job.id, ResultFile.of(job))

    async def catch_up(self) -> int:
        """Do what others were cut off from; return how many jobs were tidied.

        That is: erase results of assets whose erasure is noted, and parts left over.
        """
        while noted := await self.store.erasures(_ERASURES):
            names = {name for one in noted for name in (one.asset_id, one.collection)}
            await self._erase(names | {erasure.EVERYTHING})
            await self.store.settle(noted)
        tidied = 0
        before = self.now() - timedelta(seconds=self.rest_s)
        while untidy := await self.store.untidy(before, _PAGE):
            for job in untidy:
                await self.tidy(job)
                step = partial(_tidied, job)
                await self.store.edit(job.id, [], step)
            tidied += len(untidy)
        return tidied

    async def _erase(self, names: Collection[str]) -> None:
        after = ""
        while jobs := await self.store.telling(names, after, _PAGE):
            for job in jobs:
                await self._erase_of(job)
            after = jobs[-1].id

    async def _erase_of(self, job: Job) -> None:
        # Of a live job, only a result that is being made may tell of what is gone.
        if job.state in LIVE and not job.progress.has_ended:
            return
        edited = await self.store.edit(
            job.id,
            [FINISH],
            lambda now, chunks: erasure.erase(now, chunks.get(FINISH), self.now()),
        )
        if edited and edited.job.erased_at:
            _log.info("what job %s made is erased with an asset", job.id)
            await self.tidy(edited.job)


def _tidied(seen: Job, job: Job, _: object) -> Edited | None:
    return erasure.tidy(job, seen)


@asynccontextmanager
async def erasing(jobs: JobErasure, pause_s: float = _PAUSE_S) -> AsyncGenerator[None]:
    """Catch up now, and after every pause until the block ends."""
    task = asyncio.create_task(_keep_catching_up(jobs, pause_s))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _keep_catching_up(jobs: JobErasure, pause_s: float) -> None:
    while True:
        try:
            await jobs.catch_up()
        except UnavailableError as error:
            _log.warning("what jobs left is erased later: %s", error.detail)
        except Exception:  # noqa: BLE001 - else a bug would keep it for good
            _log.exception("what jobs left is erased later")
        await asyncio.sleep(pause_s)
