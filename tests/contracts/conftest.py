"""The stores under contract: every adapter of a port is a parameter here."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dinoserve.adapters.memory import MemoryDocuments, MemoryObjects
from dinoserve.adapters.memory import documents as memory_documents
from dinoserve.adapters.memory_cache import MemoryCache
from dinoserve.adapters.memory_queue import MemoryQueue
from dinoserve.adapters.mongo import MongoDocuments
from dinoserve.adapters.mongo import scanning as mongo_scanning
from dinoserve.adapters.mongo import upkeep as mongo_upkeep
from dinoserve.adapters.objects import LocalObjects
from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.adapters.sqlite import embeddings as sqlite_embeddings
from dinoserve.adapters.sqlite import upkeep as sqlite_upkeep
from dinoserve.ports import Cache, DocumentStore, JobQueue, JobStore, ObjectStore
from dinoserve.telemetry import Metrics
from mongo_server import fresh_documents
from object_servers import fresh_bucket, opened
from redis_server import embedded_queue, fresh_cache, fresh_queue

MONGO = pytest.param("mongo", marks=pytest.mark.needs("mongodb"))
REDIS = pytest.param("redis", marks=pytest.mark.needs("redis"))
MOTO = pytest.param("moto", marks=pytest.mark.needs("moto"))
S3 = [pytest.param(name, marks=pytest.mark.needs("s3")) for name in ("s3", "s3 sealed")]


@pytest.fixture(params=["sqlite", "memory", MONGO])
async def documents(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[DocumentStore]:
    if request.param == "memory":
        yield MemoryDocuments()
        return
    if request.param == "mongo":
        async with fresh_documents() as documents:
            yield documents
        return
    async with SqliteDocuments.open(tmp_path / "documents.sqlite") as store:
        yield store


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many vectors one batch has: few, so that a few assets make several."""
    size = 8
    modules = [memory_documents, mongo_scanning, mongo_upkeep, sqlite_embeddings]
    for module in [*modules, sqlite_upkeep]:
        for name in ("BATCH", "_BATCH", "DROP_BATCH"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, size)
    return size


@pytest.fixture
def jobs(documents: SqliteDocuments | MemoryDocuments | MongoDocuments) -> JobStore:
    return documents.jobs


@pytest.fixture(params=["local", "local sealed", "memory", MOTO, *S3])
async def objects(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[ObjectStore]:
    kind, _, sealed = request.param.partition(" ")
    key = os.urandom(32) if sealed else None
    if kind == "memory":
        yield MemoryObjects()
    elif kind == "local":
        yield LocalObjects(tmp_path / "objects", key=key)
    else:
        async with opened(replace(fresh_bucket(kind), customer_key=key)) as objects:
            yield objects


@pytest.fixture(params=["memory", REDIS])
async def cache(request: pytest.FixtureRequest) -> AsyncIterator[Cache]:
    if request.param == "memory":
        yield MemoryCache(1_000_000, Metrics())
        return
    async with fresh_cache() as cache:
        yield cache


@pytest.fixture(params=["memory", "embedded", REDIS])
async def queue(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[JobQueue]:
    if request.param == "memory":
        yield MemoryQueue(Metrics())
        return
    opened = fresh_queue() if request.param == "redis" else embedded_queue(tmp_path)
    async with opened as queue:
        yield queue
