"""Jobs that take pictures in: from folders and manifests, with real stores."""

import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import pytest

from dinoserve.adapters.folder_listing import FolderListing
from dinoserve.domain.assets import Asset, Metadata
from dinoserve.domain.jobs import Chunk, Job
from dinoserve.domain.paging import AssetQuery
from dinoserve.errors import FetchRefusedError, InvalidInputError
from dinoserve.ports import JobQuery
from dinoserve.services import Services
from dinoserve.services.jobs import Asked
from dinoserve.services.kinds.ingest import IngestKind
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import open_services
from odd_files import photo
from working import Working, at_work, make_working

URL = "https://example.org/pictures/of%20one.jpg?size=1"
LIMIT = 1_000_000


@pytest.fixture
async def services() -> AsyncGenerator[Services]:
    memory = {
        "documents": "memory:",
        "objects": "memory:",
        "queue": "memory:",
        "model": "stub",
    }
    async with open_services(Settings.model_validate(memory), Metrics()) as services:
        yield services


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


@pytest.fixture
def kind(services: Services, folder: Path) -> IngestKind:
    return IngestKind(services.assets, FolderListing([folder], LIMIT), None)


class Site:
    """A network with one picture."""

    async def fetch(self, url: str) -> bytes:
        """Return the picture."""
        if url == URL:
            return photo(1)
        raise FetchRefusedError("not there", field="url")


async def done(kind: IngestKind, parameters: Metadata) -> Job:
    """Return the job once it is over."""
    async with at_work(make_working(kind)) as working:
        return await over(working, parameters)


async def over(working: Working, parameters: Metadata) -> Job:
    job, _ = await working.jobs.submit(Asked("ingest", parameters))
    return await working.over(job.id)


async def assets(services: Services) -> list[Asset]:
    page = await services.assets.find(AssetQuery(limit=1000))
    return sorted(page.assets, key=lambda asset: asset.filename or "")


async def test_every_picture_of_a_folder_becomes_an_asset(
    services: Services, kind: IngestKind, folder: Path
) -> None:
    (folder / "more").mkdir()
    for at, name in enumerate(["a.jpg", "b.jpg", "more/c.jpg"]):
        (folder / name).write_bytes(photo(at))
    parameters = {
        "folder": str(folder),
        "collection": "cats",
        "tags": ["new"],
        "metadata": {"roll": 7},
    }

    job = await done(kind, parameters)

    assert (job.state, job.progress.done, job.progress.failed) == ("succeeded", 3, 0)
    found = await assets(services)
    assert [asset.filename for asset in found] == ["a.jpg", "b.jpg", "c.jpg"]
    assert {asset.collection for asset in found} == {"cats"}
    assert [dict(asset.metadata) for asset in found] == [{"roll": 7}] * 3
    assert all(asset.tags == ("new",) and asset.embeddings for asset in found)


async def test_a_folder_that_is_taken_in_twice_gives_the_same_assets(
    services: Services, kind: IngestKind, folder: Path
) -> None:
    (folder / "a.jpg").write_bytes(photo(1))
    (folder / "copy.jpg").write_bytes(photo(1))
    await done(kind, {"folder": str(folder)})
    first = await assets(services)

    job = await done(kind, {"folder": str(folder)})

    assert (job.state, job.progress.done) == ("succeeded", 2)
    assert len(first) == 1
    assert await assets(services) == first


async def test_without_embed_assets_are_only_stored(
    services: Services, kind: IngestKind, folder: Path
) -> None:
    (folder / "a.jpg").write_bytes(photo(1))

    await done(kind, {"folder": str(folder), "embed": False})

    assert [asset.embeddings for asset in await assets(services)] == [()]


async def test_what_cannot_be_taken_in_is_told_with_its_reason(
    services: Services, kind: IngestKind, folder: Path
) -> None:
    (folder / "damaged.jpg").write_bytes(photo(1)[:2000])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "good.jpg").write_bytes(photo(2))
    (folder / "huge.jpg").write_bytes(bytes(LIMIT + 1))
    (folder / "text.jpg").write_text("no picture")

    working = make_working(kind)
    async with at_work(working):
        job = await over(working, {"folder": str(folder)})

    assert (job.state, job.progress.done, job.progress.failed) == ("succeeded", 1, 4)
    assert set(job.progress.reasons) == {
        "image-damaged",
        "image-empty",
        "image-too-large",
        "image-unsupported",
    }
    assert [asset.filename for asset in await assets(services)] == ["good.jpg"]


async def test_a_file_that_goes_before_its_turn_is_not_found(
    kind: IngestKind, folder: Path
) -> None:
    (folder / "a.jpg").write_bytes(photo(1))
    (folder / "b.jpg").write_bytes(photo(2))
    working = make_working(kind)
    job, _ = await working.jobs.submit(Asked("ingest", {"folder": str(folder)}))
    found = [found async for found in kind.plan(job, None)]
    (folder / "b.jpg").unlink()
    chunk = Chunk(job.id, 1, job.created_at, items=tuple(found[0].items))

    outcome = await kind.work(job, chunk)

    assert outcome.done == 1
    assert [failure.code for failure in outcome.failures] == ["not-found"]


async def test_a_plan_goes_on_behind_its_cursor(kind: IngestKind, folder: Path) -> None:
    for at in range(2100):
        (folder / f"{at:04}.jpg").touch()
    job, _ = await make_working(kind).jobs.submit(
        Asked("ingest", {"folder": str(folder)})
    )
    every = [found async for found in kind.plan(job, None)]

    rest = [found async for found in kind.plan(job, every[0].cursor)]

    assert len(every) == 3
    assert rest == every[1:]


async def test_a_manifest_says_more_of_each_picture(
    services: Services, kind: IngestKind, folder: Path
) -> None:
    (folder / "a.jpg").write_bytes(photo(2))
    rows = [
        {"url": URL, "metadata": {"roll": 8}, "tags": ["old", "new"]},
        {"path": str(folder / "a.jpg"), "filename": "z.jpg", "collection": "dogs"},
        {"url": "https://example.org/none"},
    ]
    fetching = replace(kind, assets=replace(services.assets, fetcher=Site()))
    parameters = {
        "manifest": "\n".join(map(json.dumps, rows)),
        "collection": "cats",
        "tags": ["new"],
        "metadata": {"roll": 7, "film": "x"},
    }

    job = await done(fetching, parameters)

    assert (job.progress.done, job.progress.reasons) == (2, {"fetch-refused": 1})
    linked, filed = await assets(services)
    assert (linked.filename, linked.collection) == ("of one.jpg", "cats")
    assert (linked.tags, linked.metadata) == (("new", "old"), {"roll": 8, "film": "x"})
    assert (filed.filename, filed.collection) == ("z.jpg", "dogs")
    assert filed.metadata == {"roll": 7, "film": "x"}


async def test_a_server_that_fetches_nothing_says_so_of_every_url(
    kind: IngestKind,
) -> None:
    job = await done(kind, {"manifest": f"url\n{URL}\n"})

    assert (job.state, job.progress.reasons) == ("failed", {"fetch-disabled": 1})


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        ({}, "parameters"),
        ({"folder": "/x", "manifest": "url"}, "parameters"),
        ({"folder": "/etc"}, "parameters.folder"),
        ({"folder": "pictures"}, "parameters.folder"),
        ({"prefix": "photos"}, "parameters.prefix"),
        ({"manifest": "nonsense"}, "parameters.manifest"),
        ({"manifest": "path\n/etc/passwd\n"}, "parameters.manifest"),
    ],
)
async def test_a_wrong_source_is_refused_and_leaves_no_job(
    kind: IngestKind, parameters: Metadata, field: str
) -> None:
    working = make_working(kind)

    with pytest.raises(InvalidInputError) as caught:
        await working.jobs.submit(Asked("ingest", parameters))

    assert caught.value.extra["field"] == field
    assert await working.jobs.find(JobQuery()) == []


async def test_a_folder_that_is_not_there_fails_the_job(
    kind: IngestKind, folder: Path
) -> None:
    job = await done(kind, {"folder": str(folder / "none")})

    assert job.state == "failed"
    assert "There is no f" in (job.error or "")
