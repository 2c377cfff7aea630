"""The app in this process with what a test of direct uploads does to it."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, NamedTuple

import httpx2
from fastapi import FastAPI

from dinoserve.adapters.objects import Bucket
from dinoserve.services.uploads import UploadService
from in_process import make_app


class Running(NamedTuple):
    """The app on one kind of store, and a client of it."""

    app: FastAPI
    client: httpx2.AsyncClient

    @property
    def uploads(self) -> UploadService:
        return self.app.state.services.uploads

    async def begin(self, data: bytes, **said: Any) -> dict[str, Any]:
        body = {"sha256": sha256(data), "size_bytes": len(data)} | said
        answer = await self.client.post("/v1/uploads", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def put(self, begun: dict[str, Any], content: Any) -> httpx2.Response:
        """Send the bytes as a browser would: to the URL, without any key."""
        url: str = begun["url"]
        if url.startswith("http://127.0.0.1/"):
            return await self.client.put(url, content=content)
        async with httpx2.AsyncClient() as http:
            return await http.put(url, content=content)

    async def sent(self, data: bytes, **said: Any) -> dict[str, Any]:
        begun = await self.begin(data, **said)
        answer = await self.put(begun, data)
        assert answer.is_success, answer.text
        return begun

    async def complete(self, begun: dict[str, Any]) -> httpx2.Response:
        return await self.client.post(begun["complete_url"])

    async def names(self) -> list[str]:
        return [found.sha256 async for found in self.uploads.incoming.scan()]

    async def kept(self) -> list[str]:
        objects = self.uploads.assets.objects
        return [found.sha256 async for found in objects.scan()]

    def at(self, **later: float) -> UploadService:
        """The service as it is after some time."""
        now = self.uploads.now
        return replace(self.uploads, now=lambda: now() + timedelta(**later))


@asynccontextmanager
async def started(**changes: object) -> AsyncGenerator[Running]:
    app = make_app(**changes)
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client,
    ):
        yield Running(app, client)


def of_bucket(bucket: Bucket) -> dict[str, object]:
    return {
        "objects": f"s3://{bucket.name}/{bucket.prefix}",
        "s3_endpoint": bucket.endpoint,
        "s3_region": bucket.region,
        "s3_access_key": bucket.access_key,
        "s3_secret_key": bucket.secret_key,
    }


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def code(answer: httpx2.Response) -> str:
    return str(answer.json()["type"]).removeprefix("/problems/")
