"""Finding bytes without record, and records without bytes, while others write."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dinoserve.adapters.memory import MemoryDocuments, MemoryObjects
from dinoserve.domain.assets import Asset
from dinoserve.domain.renditions import derived_prefix
from dinoserve.services import copying
from dinoserve.services import orphans as orphans_module
from dinoserve.services.losses import LossService
from dinoserve.services.orphans import OrphanService, too_many
from records import a_vector, an_asset, an_embedding, digest

HOUR = timedelta(hours=1)


class Stores(OrphanService):
    """The service on stores in memory, with a clock that a test sets."""

    @property
    def originals(self) -> MemoryObjects:
        stored = self.areas["originals"]
        assert isinstance(stored, MemoryObjects)
        return stored


def stores(later: timedelta = HOUR, documents: MemoryDocuments | None = None) -> Stores:
    return Stores(
        documents or MemoryDocuments(),
        {
            "originals": MemoryObjects(),
            "derived": MemoryObjects(),
            "incoming": MemoryObjects(),
        },
        lambda: datetime.now(UTC) + later,
    )


def told(_what: str, _count: int) -> None:
    """Hear how far it is, and say nothing."""


async def given(at: Stores, data: bytes) -> Asset:
    sha256 = hashlib.sha256(data).hexdigest()
    asset = replace(an_asset(data), sha256=sha256, size_bytes=len(data))
    await at.originals.put(sha256, data)
    await at.documents.add(asset, an_embedding(asset))
    return asset


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orphans_module, "_BATCH", 7)
    monkeypatch.setattr(copying, "MAX_PAGE", 3)


async def test_every_batch_is_looked_at_and_told_of() -> None:
    at, heard = stores(), list[tuple[str, int]]()
    for seed in range(20):
        await given(at, b"kept %d" % seed)
    names = [digest(seed) for seed in range(10)]
    for name in names:
        await at.originals.put(name, b"orphan")

    found = await at.find(lambda what, count: heard.append((what, count)))

    assert set(found.names["originals"]) == set(names)
    assert len(found.stored) == 30
    counts = [count for what, count in heard if what == "originals"]
    assert counts == [7, 14, 21, 28, 30]


async def test_young_originals_are_left_to_those_who_upload_them() -> None:
    at = stores(later=HOUR - timedelta(minutes=1))
    await at.originals.put(digest(1), b"picture")
    assert (await at.find(told)).names["originals"] == []


async def test_bytes_whose_upload_is_under_way_are_spared() -> None:
    at = stores()
    await at.documents.mark(digest(1))
    await at.originals.put(digest(1), b"picture")
    assert await at.remove("originals", digest(1)) is False
    assert await at.originals.size(digest(1)) == 7


async def test_removing_an_orphan_twice_is_the_same_as_once() -> None:
    at = stores()
    await at.originals.put(digest(1), b"picture")
    assert await at.remove("originals", digest(1)) is True
    await at.remove("originals", digest(1))
    assert await at.documents.unreferenced() == []


async def test_what_was_derived_of_nothing_is_found_and_removed() -> None:
    at = stores()
    asset = await given(at, b"kept")
    await at.originals.put(digest("orphan"), b"orphan")
    ending = "0" * 32
    kept = derived_prefix(asset.sha256) + ending
    going = derived_prefix(digest("orphan")) + ending
    gone = derived_prefix(digest("gone")) + ending
    for name in (kept, going, gone):
        await at.areas["derived"].put(name, b"rendition")

    found = (await at.find(told)).names["derived"]

    assert set(found) == {going, gone}
    for name in found:
        assert await at.remove("derived", name) is True
    left = [entry.sha256 async for entry in at.areas["derived"].scan()]
    assert left == [kept]


async def test_an_original_goes_with_its_renditions_however_young_they_are() -> None:
    at = stores(later=timedelta(0))
    other, lost = await given(at, b"kept"), await given(at, b"lost")
    names = [derived_prefix(each.sha256) + "0" * 32 for each in (other, lost)]
    for name in names:
        await at.areas["derived"].put(name, b"rendition")
    await at.originals.delete(lost.sha256)

    assert await LossService(at).erase(lost.id) is True

    left = [entry.sha256 async for entry in at.areas["derived"].scan()]
    assert left == names[:1]


@pytest.mark.parametrize(("minutes", "count"), [(69, 0), (71, 1)])
async def test_direct_uploads_may_be_completed_for_seventy_minutes(
    minutes: int, count: int
) -> None:
    at = stores(later=timedelta(minutes=minutes))
    await at.areas["incoming"].put(digest(1), b"picture")
    assert len((await at.find(told)).names["incoming"]) == count


@pytest.mark.parametrize(("found", "total"), [(11, 11), (12, 110)])
def test_more_than_ten_and_a_tenth_are_too_many(found: int, total: int) -> None:
    assert too_many(found, total)


@pytest.mark.parametrize(("found", "total"), [(0, 0), (10, 10), (11, 110)])
def test_ten_or_a_tenth_are_not_too_many(found: int, total: int) -> None:
    assert not too_many(found, total)


async def test_bytes_stored_after_they_were_listed_are_no_loss() -> None:
    at = stores()
    listed = (await at.find(told)).stored
    await given(at, b"picture")
    assert (await LossService(at).find(listed, told)).assets == []


async def test_every_page_of_records_is_looked_at() -> None:
    at = stores()
    assets = [await given(at, b"picture %d" % seed) for seed in range(10)]
    for asset in assets[::2]:
        await at.originals.delete(asset.sha256)
    found = await LossService(at).find((await at.find(told)).stored, told)
    assert {asset.id for asset in found.assets} == {asset.id for asset in assets[::2]}
    assert found.total == 10


async def test_bytes_given_again_before_the_second_look_keep_their_record() -> None:
    at = stores()
    asset = await given(at, b"picture")
    assert await LossService(at).erase(asset.id) is False
    assert [*await at.documents.get([asset.id])] == [asset.id]


async def test_an_asset_that_somebody_erased_meanwhile_is_no_fault() -> None:
    assert await LossService(stores()).erase(an_asset(1).id) is False


async def test_bytes_given_again_while_the_record_is_erased_bring_it_back() -> None:
    class Racing(MemoryDocuments):
        """Somebody gives the bytes again just before the record goes."""

        async def remove(self, asset_id: str) -> Asset:
            await self.mark(asset.sha256)
            await at.originals.put(asset.sha256, b"picture")
            return await super().remove(asset_id)

    at = stores(documents=Racing())
    asset = await given(at, b"picture")
    before = await at.documents.get([asset.id])
    await at.originals.delete(asset.sha256)

    assert await LossService(at).erase(asset.id) is False

    assert await at.documents.get([asset.id]) == before
    vectors = await at.documents.vectors([asset.id], "r1")
    assert vectors[asset.id].tolist() == a_vector(0).tolist()
    assert await at.originals.size(asset.sha256) == 7


async def test_bytes_that_two_collections_lost_are_two_losses() -> None:
    at = stores()
    one = await given(at, b"picture")
    two = replace(an_asset(1, collection="two"), sha256=one.sha256, size_bytes=7)
    await at.documents.add(two, None)
    await at.originals.delete(one.sha256)
    losses = LossService(at)
    found = await losses.find((await at.find(told)).stored, told)
    assert {asset.id for asset in found.assets} == {one.id, two.id}
    assert [await losses.erase(asset.id) for asset in (one, two)] == [True, True]
    assert await at.documents.unreferenced() == []
