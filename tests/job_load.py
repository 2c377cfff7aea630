"""Jobs for workers that die, and proof that every item was done, and once."""

import json
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2

from dinoserve.domain.assets import asset_id
from dinoserve.domain.jobs import Chunk
from dinoserve.ports import ChunkQuery, DocumentStore
from dinoserve.settings import Settings
from dinoserve.stores import open_documents
from job_site import JobSite, until
from odd_files import photo
from stored import listed, search

ITEMS = 80
LIVE = {"queued", "running"}


@dataclass
class JobLoad:
    """Collections of assets without vectors, and a job for each.

    Attributes:
        assets: ids by collection.
        jobs: which job embeds which collection.
    """

    site: JobSite
    assets: Mapping[str, set[str]]
    jobs: dict[str, str] = field(default_factory=dict[str, str])

    def submit(self) -> str:
        """Ask for the next collection to be embedded; return the job's id."""
        collection = [*self.assets][len(self.jobs)]
        with self.site.client() as client:
            job = submitted(client, "embed", collection=collection)
        self.jobs[job] = collection
        return job

    async def check(self) -> int:
        """Wait until every job is over, and fail unless all is as it should be.

        Returns:
            how many chunks were begun more than once.
        """
        with self.site.client() as client:
            for job, collection in self.jobs.items():
                self._check_counts(over(client, job), self.assets[collection])
            self._check_vectors(client)
            self._check_index(client)
            self._check_export(client)
        return await self._check_chunks()

    def _check_counts(self, job: Mapping[str, Any], assets: Collection[str]) -> None:
        assert job["state"] == "succeeded", job
        told = {name: job["progress"][name] for name in ("items", "done", "failed")}
        assert told == {"items": len(assets), "done": len(assets), "failed": 0}

    def _check_vectors(self, client: httpx2.Client) -> None:
        done = self._done()
        embedded = {key: a["embeddings"] for key, a in listed(client).items()}
        assert {key: len(embedded[key]) for key in done} == dict.fromkeys(done, 1)

    def _done(self) -> set[str]:
        """Return every asset that a job was asked to embed."""
        return {key for name in self.jobs.values() for key in self.assets[name]}

    def _check_index(self, client: httpx2.Client) -> None:
        for collection in self.jobs.values():
            ids = self.assets[collection]
            query = {"asset": next(iter(ids))}
            until(
                lambda query=query, ids=ids, collection=collection: (
                    {*search(client, query, k=1000, collection=collection)}
                    >= ids - {query["asset"]}
                )
            )

    def _check_export(self, client: httpx2.Client) -> None:
        """Fail unless what a job reads has every asset with its vector, once."""
        export = over(client, submitted(client, "export"))
        lines = client.get(f"/v1/jobs/{export['id']}/result").text.splitlines()
        rows = Counter(row["id"] for row in map(json.loads, lines) if row["vector"])
        done = self._done()
        assert {key: rows[key] for key in done} == dict.fromkeys(done, 1)

    async def _check_chunks(self) -> int:
        again = 0
        async with documents_of(self.site) as documents:
            for job, collection in self.jobs.items():
                _, *chunks = await chunks_of(documents, job)
                items = Counter(item for chunk in chunks for item in chunk.items)
                assert items == Counter(self.assets[collection])
                assert all(chunk.done == len(chunk.items) for chunk in chunks)
                again += sum(chunk.starts > 1 for chunk in chunks)
        return again


async def loaded(site: JobSite, collections: int, items: int = ITEMS) -> JobLoad:
    """Store the same pictures, without vectors, in so many collections."""
    with site.client() as client:
        for seed in range(items):
            answer = client.post(
                "/v1/assets",
                params={"embed": False},
                files={"file": photo(seed, 64, 48)},
                data={"collection": "first"},
            )
            assert answer.status_code == 201, answer.text
        first = set(listed(client))
    names = [f"c{number}" for number in range(collections)]
    async with documents_of(site) as documents:
        found = await documents.get(first)
        return JobLoad(
            site, {name: await _copied(documents, found, name) for name in names}
        )


async def _copied(
    documents: DocumentStore, found: Mapping[str, Any], collection: str
) -> set[str]:
    copies = [
        replace(asset, id=asset_id(collection, asset.sha256), collection=collection)
        for asset in found.values()
    ]
    for copy in copies:
        await documents.add(copy, None)
    return {copy.id for copy in copies}


@asynccontextmanager
async def documents_of(site: JobSite) -> AsyncGenerator[DocumentStore]:
    """The site's document store, beside the processes that use it."""
    given = {name.removeprefix("DINOSERVE_").lower(): v for name, v in site.env.items()}
    settings = Settings.model_validate({"data": site.data, **given})
    async with AsyncExitStack() as stack:
        yield await open_documents(settings, stack)


async def chunks_of(documents: DocumentStore, job: str) -> list[Chunk]:
    """Every chunk of the job, its plan first."""
    states = ("waiting", "running", "done", "buried")
    query = ChunkQuery(states, job, after=(job, -1), limit=1000)
    return await documents.jobs.chunks(query)


def submitted(client: httpx2.Client, kind: str, **parameters: Any) -> str:
    """Ask for a job; return its id."""
    body = {"kind": kind, "parameters": parameters}
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def over(client: httpx2.Client, job: str) -> dict[str, Any]:
    """Return the job once nobody works on it any more."""
    until(lambda: client.get(f"/v1/jobs/{job}").json()["state"] not in LIVE)
    return dict(client.get(f"/v1/jobs/{job}").json())
