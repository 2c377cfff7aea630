"""Watching a job over HTTP until it is over, through whatever happens on the way."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeAlias

import httpx2

from dinoserve.cli.client import ApiError, Client, Json, NoServerError
from dinoserve.cli.job_views import LIVE

PATIENCE_S = 300.0
"""Seconds that a server which went away is waited for: it may load a large model."""

_PAUSE_S = 1.0

Sleep: TypeAlias = Callable[[float], Awaitable[None]]


async def watched(
    client: Client,
    job_id: str,
    show: Callable[[Json], None],
    sleep: Sleep = asyncio.sleep,
) -> Json:
    """Return the job once it is over.

    It listens to the job's events. Where there are none, as the server is full or
    begins anew or something on the way keeps them back, it asks every second.

    Args:
        client: of the server.
        job_id: which job.
        show: called with every state that is seen.
        sleep: waits for that many seconds.

    Raises:
        ApiError: there is no such job, or the key is wrong.
        NoServerError: nothing answers, or not again within `PATIENCE_S`.
    """
    job = await client.get(f"/v1/jobs/{job_id}")
    client.patience_s = PATIENCE_S
    while True:
        show(job)
        if job["state"] not in LIVE:
            return job
        try:
            async for changed in _events(client, job):
                show(changed)
        except (ApiError, NoServerError):
            await sleep(_PAUSE_S)
        job = await client.get(f"/v1/jobs/{job_id}")


async def _events(client: Client, job: Json) -> AsyncGenerator[Json]:
    """Yield the job whenever it changed, as far as the connection holds."""
    path, known = f"/v1/jobs/{job['id']}/events", str(job["version"])
    async with client.stream(path, {"last-event-id": known}) as answer:
        async for event in httpx2.EventSource(answer):
            if event.event == "job":
                yield json.loads(event.data)
