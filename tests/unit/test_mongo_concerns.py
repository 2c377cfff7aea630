"""What is asked of MongoDB with every command: majority and journal, always."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import monitoring

from dinoserve.adapters.mongo import MongoDocuments
from dinoserve.domain.paging import AssetQuery
from dinoserve.ports import AssetChanges
from mongo_server import fresh_database
from records import a_recipe, an_asset, an_embedding

pytestmark = pytest.mark.needs("mongodb")

DURABLE = {"w": "majority", "j": True}
SINGLE_WRITES = {"update", "insert", "delete", "findAndModify"}
READS = {"find", "aggregate"}


class Commands(monitoring.CommandListener):
    """Keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.sent.append({**event.command, "name": event.command_name})

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


@pytest.fixture
async def sent(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[dict[str, Any]]]:
    """The commands of a life, though the URL asks for less."""
    commands = Commands()
    # As monitoring.register does, but for the clients of this test alone.
    listeners = monitoring._Listeners([commands], [], [], [], [])  # pyright: ignore[reportPrivateUsage] - there is no way to take a listener off again
    monkeypatch.setattr(monitoring, "_LISTENERS", listeners)
    async with fresh_database() as url:
        weak = f"{url}?w=1&journal=false&readPreference=secondaryPreferred"
        async with MongoDocuments.open(weak) as documents:
            commands.sent.clear()
            await live(documents)
            yield commands.sent


async def live(documents: MongoDocuments) -> None:
    asset = an_asset(1)
    await documents.mark(asset.sha256)
    await documents.add(asset, an_embedding(asset))
    await documents.put(an_embedding(asset, "r2"))
    await documents.update(asset.id, AssetChanges(tags=("a",)))
    await documents.save_recipe(a_recipe())
    await documents.find(AssetQuery())
    await documents.counts()
    await documents.remove(asset.id)
    await documents.clear(asset.sha256)


async def test_every_commit_is_of_a_majority_and_journaled(
    sent: list[dict[str, Any]],
) -> None:
    commits = [one for one in sent if one["name"] == "commitTransaction"]
    assert len(commits) == 5
    assert all(commit["writeConcern"] == DURABLE for commit in commits)


async def test_every_transaction_reads_one_state(sent: list[dict[str, Any]]) -> None:
    begun = [one["readConcern"] for one in sent if one.get("startTransaction")]
    assert begun == [{"level": "snapshot"}] * 5


async def test_every_single_write_is_of_a_majority_and_journaled(
    sent: list[dict[str, Any]],
) -> None:
    alone = [one for one in sent if "autocommit" not in one]
    writes = [one for one in alone if one["name"] in SINGLE_WRITES]
    assert len(writes) == 2
    assert all(write["writeConcern"] == DURABLE for write in writes)


async def test_every_read_sees_only_what_a_majority_has_at_the_primary(
    sent: list[dict[str, Any]],
) -> None:
    alone = [one for one in sent if "autocommit" not in one]
    reads = [one for one in alone if one["name"] in READS]
    assert len(reads) == 2
    for read in reads:
        assert read["readConcern"] == {"level": "majority"}
        assert read.get("$readPreference", {"mode": "primary"})["mode"] == "primary"
