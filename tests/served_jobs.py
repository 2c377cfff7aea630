"""Jobs over HTTP in this process: real routes, with jobs that only note."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import httpx2
from fastapi import FastAPI

from dinoserve.services import Services
from dinoserve.services.job_watching import JobWatching
from in_process import make_app
from working import SWIFT, NotingKind, Working, at_work, make_working


@dataclass
class Served:
    """A client of an app whose only kind of job is `embed`, and that only notes."""

    app: FastAPI
    client: httpx2.AsyncClient
    working: Working

    @classmethod
    @asynccontextmanager
    async def over(
        cls, working: Working, watching: JobWatching | None = None
    ) -> AsyncGenerator[Self]:
        """Serve these jobs; who works on them is the caller's business."""
        app = make_app(job_slots=0)
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        url = "http://127.0.0.1"
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url=url) as client,
        ):
            services: Services = app.state.services
            watching = watching or JobWatching(working.jobs)
            app.state.services = replace(services, jobs=working.jobs, watching=watching)
            yield cls(app, client, working)

    async def submitted(self, **body: Any) -> dict[str, Any]:
        answer = await self.client.post("/v1/jobs", json={"kind": "embed"} | body)
        assert answer.status_code == 202, answer.text
        return answer.json()

    async def over_now(self, job: dict[str, Any]) -> dict[str, Any]:
        """The job once nobody works on it any more."""
        await self.working.over(job["id"])
        return (await self.client.get(f"/v1/jobs/{job['id']}")).json()


@asynccontextmanager
async def served(
    kind: NotingKind, *, is_at_work: bool = True, tries: int = 6
) -> AsyncGenerator[Served]:
    """The app with jobs of this kind, under the name `embed`, and a worker."""
    kind.name = "embed"
    working = make_working(kind, patience=replace(SWIFT, tries=tries))
    async with Served.over(working) as app:
        if not is_at_work:
            yield app
            return
        async with at_work(working):
            yield app


def failing(message: str) -> Any:
    """What a `NotingKind` may do before each chunk: fail."""

    def fail(_: object) -> None:
        raise RuntimeError(message)

    return fail


async def for_ever(_: object) -> None:
    """What a `NotingKind` may do before each chunk: never end."""
    await asyncio.Event().wait()


async def ask(client: httpx2.AsyncClient, body: Any, **headers: str) -> httpx2.Response:
    """Ask for a job."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/v1/jobs", json=body, headers=names)
