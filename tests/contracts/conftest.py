"""The stores under contract: every adapter of a port is a parameter here."""

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from arango_server import fresh_graph
from dinoserve.adapters.arango import requests as arango_requests
from dinoserve.adapters.memory import MemoryDocuments, MemoryObjects
from dinoserve.adapters.memory import documents as memory_documents
from dinoserve.adapters.memory import relations as memory_relations
from dinoserve.adapters.memory_cache import MemoryCache
from dinoserve.adapters.memory_queue import MemoryQueue
from dinoserve.adapters.mongo import MongoDocuments
from dinoserve.adapters.mongo import relations as mongo_relations
from dinoserve.adapters.mongo import scanning as mongo_scanning
from dinoserve.adapters.mongo import upkeep as mongo_upkeep
from dinoserve.adapters.objects import LocalObjects
from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.adapters.sqlite import embeddings as sqlite_embeddings
from dinoserve.adapters.sqlite import relation_scan as sqlite_relation_scan
from dinoserve.adapters.sqlite import upkeep as sqlite_upkeep
from dinoserve.ports import (
    Cache,
    DocumentStore,
    JobQueue,
    JobStore,
    ObjectStore,
    RelationStore,
)
from dinoserve.telemetry import Metrics
from mongo_server import fresh_documents
from needs import ARANGO_URL
from object_servers import fresh_bucket, opened
from redis_server import embedded_queue, fresh_cache, fresh_queue

MONGO = pytest.param("mongo", marks=pytest.mark.needs("mongodb"))
ARANGODB = pytest.param("arangodb", marks=pytest.mark.needs("arangodb"))
REDIS = pytest.param("redis", marks=pytest.mark.needs("redis"))
MOTO = pytest.param("moto", marks=pytest.mark.needs("moto"))
S3 = [pytest.param(name, marks=pytest.mark.needs("s3")) for name in ("s3", "s3 sealed")]


@asynccontextmanager
async def opened_documents(kind: str, folder: Path) -> AsyncGenerator[DocumentStore]:
    if kind == "memory":
        yield MemoryDocuments()
        return
    if kind == "mongo":
        async with fresh_documents() as documents:
            yield documents
        return
    async with SqliteDocuments.open(folder / "documents.sqlite") as store:
        yield store


@pytest.fixture(params=["sqlite", "memory", MONGO])
async def documents(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[DocumentStore]:
    async with opened_documents(request.param, tmp_path) as documents:
        yield documents


@pytest.fixture
def batch(monkeypatch: pytest.MonkeyPatch) -> int:
    """How many vectors one batch has: few, so that a few assets make several."""
    size = 8
    modules = [memory_documents, mongo_scanning, mongo_upkeep, sqlite_embeddings]
    modules += [sqlite_upkeep, memory_relations, sqlite_relation_scan, arango_requests]
    modules += [mongo_relations]
    for module in modules:
        for name in ("BATCH", "_BATCH", "DROP_BATCH"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, size)
    return size


@pytest.fixture
def jobs(documents: SqliteDocuments | MemoryDocuments | MongoDocuments) -> JobStore:
    return documents.jobs


@pytest.fixture(params=["sqlite", "memory", MONGO, "arangodb double", ARANGODB])
async def relations(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[RelationStore]:
    if request.param.startswith("arangodb"):
        is_double = request.param.endswith("double")
        async with fresh_graph(None if is_double else os.environ[ARANGO_URL]) as graph:
            yield graph
        return
    async with opened_documents(request.param, tmp_path) as documents:
        yield documents.relations


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
