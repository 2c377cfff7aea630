"""`export`: what is in the files, and what is not."""

import io
import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from dinoserve.domain.jobs import Chunk
from dinoserve.domain.tables import record
from dinoserve.domain.vectors import Embedding
from dinoserve.errors import InvalidInputError, UnavailableError
from dinoserve.services.jobs import Asked
from dinoserve.services.kinds.export import ExportKind
from filed_jobs import Filed, filed
from records import a_vector

MANY = 2300  # of chunks of a thousand


@pytest.fixture
async def shop() -> AsyncGenerator[Filed]:
    async with filed() as shop:
        yield shop


def lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def parquet_file(data: bytes) -> Any:
    return parquet.ParquetFile(io.BytesIO(data))


async def test_a_line_tells_everything_of_an_asset(shop: Filed) -> None:
    [asset] = await shop.give(1, tags=("hero", "ü"))

    job = await shop.done("export")
    [line] = lines(await shop.file(job))

    stored = (await shop.documents.get([asset.id]))[asset.id]
    recipe = shop.services.embeddings.recipe
    vector = line.pop("vector")
    assert line == record(stored, recipe.id)
    assert line["created_at"] == "2026-11-23T11:59:59.123456Z"
    assert np.array_equal(np.float32(vector), a_vector(1, recipe.dimension))


async def test_every_asset_is_a_line_newest_first(shop: Filed) -> None:
    assets = await shop.give(*range(MANY))

    job = await shop.done("export")

    told = [line["id"] for line in lines(await shop.file(job))]
    assert told == [asset.id for asset in assets]
    assert job.result
    assert job.result["assets"] == MANY


async def test_npz_has_ids_vectors_and_records(shop: Filed) -> None:
    assets = await shop.give(*range(MANY))

    job = await shop.done("export", format="npz")

    with np.load(io.BytesIO(await shop.file(job))) as npz:
        assert npz["ids"].tolist() == [asset.id for asset in assets]
        assert npz["vectors"].dtype == np.float32
        width = npz["vectors"].shape[1]
        assert np.array_equal(npz["vectors"][2222], a_vector(2222, width))
        records = lines(npz["records.ndjson"])
    assert [each["id"] for each in records] == [asset.id for asset in assets]


async def test_parquet_has_a_row_group_for_each_chunk(shop: Filed) -> None:
    assets = await shop.give(*range(MANY), tags=("hero",))

    job = await shop.done("export", format="parquet")

    file = parquet_file(await shop.file(job))
    rows = file.read().to_pylist()
    assert file.num_row_groups == 3
    assert [row["id"] for row in rows] == [asset.id for asset in assets]
    assert rows[7]["tags"] == ["hero"]
    assert json.loads(rows[7]["metadata"]) == {"seed": 7, "name": "日本\n語"}
    assert rows[7]["created_at"] == assets[7].created_at
    vector = np.array(rows[7]["vector"], np.float32)
    assert np.array_equal(vector, a_vector(7, len(vector)))


async def test_parquet_vectors_have_one_length(shop: Filed) -> None:
    await shop.give(1)

    job = await shop.done("export", format="parquet")

    schema = parquet_file(await shop.file(job)).schema_arrow
    assert str(schema.field("vector").type) == "fixed_size_list<element: float>[64]"


@pytest.mark.parametrize("format_", ["ndjson", "npz", "parquet"])
async def test_without_vectors_every_asset_is_told_of(
    shop: Filed, format_: str
) -> None:
    bare = await shop.give(1, bare=True)
    embedded = await shop.give(2)

    job = await shop.done("export", format=format_, vectors=False)

    data = await shop.file(job)
    told = _records(data, format_)
    assert [each["id"] for each in told] == [bare[0].id, embedded[0].id]
    assert not {"vector", "recipe"} & set(told[0])


@pytest.mark.parametrize("format_", ["ndjson", "npz", "parquet"])
async def test_an_export_of_nothing_is_a_file_without_rows(
    shop: Filed, format_: str
) -> None:
    job = await shop.done("export", collection="nobody", format=format_)

    assert job.state == "succeeded"
    assert _records(await shop.file(job), format_) == []


async def test_only_what_is_meant_is_told_of(shop: Filed) -> None:
    [meant] = await shop.give(1, collection="red", tags=("hero", "a"))
    await shop.give(2, collection="red", tags=("a",))
    await shop.give(3, collection="blue", tags=("hero",))

    job = await shop.done("export", collection="red", tags=["hero"])

    assert [line["id"] for line in lines(await shop.file(job))] == [meant.id]


async def test_an_asset_without_a_vector_is_a_failure_and_not_in_the_file(
    shop: Filed,
) -> None:
    await shop.give(1)
    await shop.give(2, bare=True)

    job = await shop.done("export")

    assert job.progress.reasons == {"asset-not-embedded": 1}
    assert len(lines(await shop.file(job))) == 1


async def test_what_got_its_vector_later_is_added_by_a_retry(shop: Filed) -> None:
    await shop.give(1)
    [late] = await shop.give(2, bare=True)
    first = await shop.done("export", format="npz")
    recipe = shop.services.embeddings.recipe
    vector = a_vector(2, recipe.dimension)
    await shop.documents.put(Embedding(late.id, recipe.id, vector))

    await shop.services.jobs.retry(first.id)
    job = await shop.over(first.id)

    with np.load(io.BytesIO(await shop.file(job))) as npz:
        assert np.array_equal(npz["vectors"][1], vector)


@pytest.mark.usefixtures("parts_stay")
async def test_a_chunk_that_is_done_twice_writes_the_same_bytes(shop: Filed) -> None:
    assets = await shop.give(*range(20))
    job = await shop.done("export", format="npz")
    kind, results = _kind(shop), shop.services.jobs.results
    chunk = Chunk(job.id, 1, job.created_at, tuple(asset.id for asset in assets))
    before = await results.load(job.id, 1)

    await kind.work(job, chunk)

    assert await results.load(job.id, 1) == before


async def test_an_asset_that_was_erased_before_its_chunk_is_a_failure(
    shop: Filed,
) -> None:
    kept, erased = await shop.give(1, 2)
    job = await shop.done("export")
    await shop.documents.remove(erased.id)
    chunk = Chunk(job.id, 1, job.created_at, (kept.id, erased.id))

    outcome = await _kind(shop).work(job, chunk)

    assert outcome.done == 1
    assert [(each.item, each.code) for each in outcome.failures] == [
        (erased.id, "asset-not-found")
    ]


async def test_a_plan_that_is_taken_up_again_goes_on_where_it_was(
    shop: Filed,
) -> None:
    assets = await shop.give(*range(MANY))
    job = await shop.done("export")
    found = [each async for each in _kind(shop).plan(job, None)]

    rest = [each async for each in _kind(shop).plan(job, found[1].cursor)]

    assert len(found[1].items) == 1000
    told = [item for each in rest for item in each.items]
    assert told == [asset.id for asset in assets[1000:]]


async def test_parquet_is_refused_where_it_is_not_installed(shop: Filed) -> None:
    kind = replace(_kind(shop), tables=None)
    jobs = replace(shop.services.jobs, kinds={"export": kind})

    with pytest.raises(InvalidInputError, match=r"dinoserve\[parquet\]") as caught:
        await jobs.submit(Asked("export", {"format": "parquet"}))

    assert caught.value.extra["field"] == "parameters.format"


async def test_a_part_that_is_gone_is_not_left_out_silently(shop: Filed) -> None:
    await shop.give(1)
    job = await shop.done("export", format="npz")
    results = shop.services.jobs.results
    await results.erase(job.id)

    with pytest.raises(UnavailableError, match="part of the result is gone"):
        await _kind(shop).finish(job)


@pytest.mark.parametrize("format_", ["ndjson", "npz", "parquet"])
async def test_a_part_of_other_rows_is_not_taken_for_the_one_that_was_counted(
    shop: Filed, format_: str
) -> None:
    kept, erased = await shop.give(1, 2)
    job = await shop.done("export", format=format_)
    await shop.documents.remove(erased.id)
    items = kept.id, erased.id
    await _kind(shop).work(job, Chunk(job.id, 1, job.created_at, items))

    with pytest.raises(UnavailableError, match="1 rows, not 2"):
        await _kind(shop).finish(job)


def _kind(shop: Filed) -> ExportKind:
    kind = shop.services.jobs.kinds["export"]
    assert isinstance(kind, ExportKind)
    return kind


def _records(data: bytes, format_: str) -> list[dict[str, Any]]:
    if format_ == "ndjson":
        return lines(data)
    if format_ == "parquet":
        return parquet_file(data).read().to_pylist()
    with np.load(io.BytesIO(data)) as npz:
        assert len(npz["ids"]) == len(npz["records.ndjson"].splitlines())
        return lines(npz["records.ndjson"])
