"""Jobs that make files, done by real services whose stores are in memory."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from dinoserve.domain.assets import Asset
from dinoserve.domain.jobs import LIVE, Job
from dinoserve.domain.vectors import Embedding
from dinoserve.ports import DocumentStore
from dinoserve.services import Services
from dinoserve.services.job_results import ResultFile
from dinoserve.services.jobs import Asked
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import open_services
from records import NOON, a_vector, an_asset


@dataclass(frozen=True)
class Filed:
    """Services with assets, whose jobs are worked on."""

    services: Services

    @property
    def documents(self) -> DocumentStore:
        return self.services.assets.documents

    async def give(
        self,
        *seeds: int,
        bare: bool = False,
        collection: str = "default",
        tags: tuple[str, ...] = (),
    ) -> list[Asset]:
        """Store assets, each older than the one before; `bare`: without vectors."""
        recipe = self.services.embeddings.recipe
        assets = [
            an_asset(
                seed,
                collection=collection,
                tags=tags,
                created_at=NOON - timedelta(seconds=seed),
                metadata={"seed": seed, "name": "日本\n語"},
            )
            for seed in seeds
        ]
        for seed, asset in zip(seeds, assets, strict=True):
            vector = a_vector(seed, recipe.dimension)
            made = None if bare else Embedding(asset.id, recipe.id, vector)
            await self.documents.add(asset, made)
        return assets

    async def done(self, kind: str, **parameters: object) -> Job:
        """Return a job of this kind once nobody works on it any more."""
        job, _ = await self.services.jobs.submit(Asked(kind, parameters))
        return await self.over(job.id)

    async def over(self, job_id: str) -> Job:
        """Return the job once nobody works on it any more."""
        async with asyncio.timeout(60):
            while (job := await self.services.jobs.get(job_id)).state in LIVE:  # noqa: ASYNC110 - the store tells nobody
                await asyncio.sleep(0.005)
        return job

    async def file(self, job: Job) -> bytes:
        """Return the file that the job made; it is what its record says."""
        file = ResultFile.of(job)
        assert file, job
        data = bytes(await self.services.jobs.results.load(job.id, file.chunk))
        assert len(data) == file.size_bytes
        assert hashlib.sha256(data).hexdigest() == file.sha256
        return data


@asynccontextmanager
async def filed(**changes: object) -> AsyncGenerator[Filed]:
    """Services in memory, with these settings changed."""
    memory = {"documents": "memory:", "objects": "memory:", "model": "stub"}
    settings = Settings.model_validate(memory | changes)
    async with open_services(settings, Metrics()) as services:
        yield Filed(services)
