"""The stores under contract: every adapter of a port is a parameter here."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dinoserve.adapters.memory import MemoryDocuments
from dinoserve.adapters.sqlite import SqliteDocuments
from dinoserve.ports import DocumentStore


@pytest.fixture(params=["sqlite", "memory"])
async def documents(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[DocumentStore]:
    if request.param == "memory":
        yield MemoryDocuments()
        return
    async with SqliteDocuments.open(tmp_path / "documents.sqlite") as store:
        yield store
