"""`similarity`: what is compared, and what the files say."""

import io
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from dinoserve.domain.assets import Filter
from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import Chunk, Job, part_name
from dinoserve.domain.vectors import Embedding
from dinoserve.errors import UnavailableError
from dinoserve.services.kinds.planned import settled
from dinoserve.services.kinds.similarity import MAX_MATRIX, SimilarityKind
from dinoserve.web.job_parameters import SimilarityParameters
from filed_jobs import Filed, filed
from records import a_vector

SEVERAL = 600  # of chunks of 256


@pytest.fixture
async def shop() -> AsyncGenerator[Filed]:
    async with filed() as shop:
        yield shop


async def arrays(shop: Filed, job: Job) -> dict[str, NDArray[Any]]:
    with np.load(io.BytesIO(await shop.file(job))) as npz:
        return {name: npz[name] for name in npz}


async def lines(shop: Filed, job: Job) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (await shop.file(job)).splitlines()]


async def test_a_matrix_has_the_scores_that_the_route_gives(shop: Filed) -> None:
    assets = await shop.give(*range(SEVERAL))

    made = await arrays(
        shop, await shop.done("similarity", collection="default", mode="matrix")
    )

    ids = sorted(asset.id for asset in assets)
    assert made["ids"].tolist() == ids
    expected = (await shop.services.similarity.compare(ids, ids)).scores
    assert made["scores"].dtype == np.float32
    assert np.abs(made["scores"] - expected).max() < 1e-6


async def test_neighbours_are_the_greatest_scores_of_each(shop: Filed) -> None:
    assets = await shop.give(*range(SEVERAL))

    job = await shop.done("similarity", collection="default", k=7)

    ids = sorted(asset.id for asset in assets)
    scores = (await shop.services.similarity.compare(ids, ids)).scores
    np.fill_diagonal(scores, -2)
    for at, line in enumerate(await lines(shop, job)):
        best = np.argsort(-scores[at])[:7]
        assert line["asset"] == ids[at]
        assert [near["asset"] for near in line["neighbours"]] == [ids[i] for i in best]
        told = [near["score"] for near in line["neighbours"]]
        assert np.allclose(told, scores[at][best], rtol=0, atol=1e-6)


async def test_neighbours_as_arrays_are_those_of_the_lines(shop: Filed) -> None:
    await shop.give(*range(SEVERAL))
    asked = {"collection": "default", "k": 5, "min_score": 0.25}

    made = await arrays(shop, await shop.done("similarity", **asked, format="npz"))
    told = await lines(shop, await shop.done("similarity", **asked))

    ids: list[str] = made["ids"].tolist()
    for line, places, scores in zip(told, made["indices"], made["scores"], strict=True):
        near: list[dict[str, Any]] = [
            {"asset": ids[place], "score": pytest.approx(score, abs=1e-7)}
            for place, score in zip(places, scores, strict=True)
            if place >= 0
        ]
        assert line["neighbours"] == near
        assert (scores[places < 0] == -np.inf).all()


async def test_no_neighbour_is_below_the_least_score(shop: Filed) -> None:
    await shop.give(*range(100))

    job = await shop.done("similarity", collection="default", k=99, min_score=0.2)

    told = [
        near["score"] for line in await lines(shop, job) for near in line["neighbours"]
    ]
    assert told
    assert min(told) >= np.float32(0.2)
    assert len(told) < 100 * 99


async def test_assets_that_are_named_are_compared_alone(shop: Filed) -> None:
    one, two, _ = await shop.give(1, 2, 3)

    job = await shop.done("similarity", assets=[two.id, one.id], mode="matrix")

    assert (await arrays(shop, job))["ids"].tolist() == sorted([one.id, two.id])


async def test_an_asset_without_a_vector_is_a_failure_and_in_no_row_or_column(
    shop: Filed,
) -> None:
    assets = await shop.give(1, 2)
    await shop.give(3, bare=True)

    job = await shop.done("similarity", collection="default", mode="matrix")

    assert job.progress.reasons == {"asset-not-embedded": 1}
    made = await arrays(shop, job)
    assert made["ids"].tolist() == sorted(asset.id for asset in assets)
    assert made["scores"].shape == (2, 2)


async def test_an_asset_that_is_not_there_is_a_failure(shop: Filed) -> None:
    [asset] = await shop.give(1)

    job = await shop.done("similarity", assets=[asset.id, "0" * 32])

    assert job.progress.reasons == {"asset-not-found": 1}


@pytest.mark.parametrize("mode", ["matrix", "neighbours"])
@pytest.mark.parametrize("count", [0, 1])
async def test_a_set_of_hardly_any_gives_a_file_without_pairs(
    shop: Filed, mode: str, count: int
) -> None:
    await shop.give(*range(count))

    job = await shop.done("similarity", collection="default", mode=mode, format="npz")

    assert job.state == "succeeded"
    made = await arrays(shop, job)
    assert made["scores"].shape == (count, count if mode == "matrix" else 0)


@pytest.mark.usefixtures("parts_stay")
async def test_what_was_erased_meanwhile_is_in_no_row_and_no_column(
    shop: Filed,
) -> None:
    assets = await shop.give(*range(300))
    job = await shop.done("similarity", collection="default", mode="matrix")
    whole = await arrays(shop, job)
    await shop.documents.remove(assets[5].id)

    result = await _kind(shop).finish(job)

    made = await arrays(shop, replace(job, result=result))
    is_kept = whole["ids"] != assets[5].id
    assert made["ids"].tolist() == whole["ids"][is_kept].tolist()
    assert np.array_equal(made["scores"], whole["scores"][is_kept][:, is_kept])
    assert (result["assets"], result["erased"]) == (299, 1)


@pytest.mark.usefixtures("parts_stay")
async def test_what_was_erased_meanwhile_is_nobodys_neighbour(shop: Filed) -> None:
    assets = await shop.give(*range(300))
    job = await shop.done("similarity", collection="default", k=299)
    await shop.documents.remove(assets[5].id)

    result = await _kind(shop).finish(job)

    told = await lines(shop, replace(job, result=result))
    assert len(told) == 299
    assert all(len(line["neighbours"]) == 298 for line in told)
    assert assets[5].id not in str(told)


@pytest.mark.usefixtures("parts_stay")
async def test_a_vector_that_changes_meanwhile_does_not_change_the_set(
    shop: Filed,
) -> None:
    [asset, *_] = await shop.give(*range(10))
    job = await shop.done("similarity", collection="default", mode="matrix")
    recipe, results = shop.services.embeddings.recipe, shop.services.jobs.results
    before = await results.load(job.id, 1)
    other = a_vector(99, recipe.dimension)
    await shop.documents.put(Embedding(asset.id, recipe.id, other))

    await _kind(shop).work(job, await _chunk(shop, job))

    assert await results.load(job.id, 1) == before


@pytest.mark.usefixtures("parts_stay")
async def test_a_plan_of_a_worker_that_was_taken_for_dead_changes_nothing(
    shop: Filed,
) -> None:
    await shop.give(*range(10))
    job = await shop.done("similarity", collection="default", mode="matrix")
    first = await shop.file(job)
    await shop.give(11)

    _ = [found async for found in _kind(shop).plan(job, None)]
    result = await _kind(shop).finish(job)

    assert await shop.file(replace(job, result=result)) == first


async def test_a_plan_that_found_the_set_finds_nothing_more(shop: Filed) -> None:
    await shop.give(*range(10))
    job = await shop.done("similarity", collection="default")
    plan = await settled(shop.documents.jobs, job.id)

    found = [each async for each in _kind(shop).plan(job, plan.cursor())]

    assert found == []


@pytest.mark.usefixtures("parts_stay")
async def test_what_was_given_up_is_in_no_row_and_no_column(shop: Filed) -> None:
    await shop.give(*range(300))
    job = await shop.done("similarity", collection="default", mode="matrix")

    def give_up(job: Job, chunks: Mapping[int, Chunk]) -> Edited:
        return Edited(job, [replace(chunks[1], done=0)])

    await shop.documents.jobs.edit(job.id, [1], give_up)
    result = await _kind(shop).finish(job)

    made = await arrays(shop, replace(job, result=result))
    assert made["scores"].shape == (300 - 256, 300 - 256)
    assert np.allclose(np.diag(made["scores"]), 1.0)


@pytest.mark.usefixtures("parts_stay")
async def test_a_part_that_is_cut_is_not_taken_for_the_whole(shop: Filed) -> None:
    await shop.give(*range(10))
    job = await shop.done("similarity", collection="default", mode="matrix")
    objects = shop.services.jobs.results.objects
    part = bytes(await shop.services.jobs.results.load(job.id, 1))
    await objects.put(part_name(job.id, 1), part[:-4])

    with pytest.raises(UnavailableError):
        await _kind(shop).finish(job)


async def test_too_many_for_a_matrix_fail_with_the_limit(shop: Filed) -> None:
    await shop.give(*range(MAX_MATRIX + 1), bare=True)

    job = await shop.done("similarity", collection="default", mode="matrix")

    assert job.state == "failed"
    assert str(MAX_MATRIX) in (job.error or "")
    assert job.progress.items == 0


@pytest.mark.usefixtures("parts_stay")
async def test_the_sets_of_the_last_two_jobs_are_held_in_memory(shop: Filed) -> None:
    await shop.give(1, 2)
    sets = _kind(shop).sets
    jobs = [await shop.done("similarity", collection="default") for _ in range(3)]
    plans = [await settled(shop.documents.jobs, job.id) for job in jobs]
    first, second, third = zip(jobs, plans, strict=True)

    forgotten, held, last = [
        await sets.get(job.id, plan) for job, plan in (first, second, third)
    ]

    assert await sets.get(third[0].id, third[1]) is last
    assert await sets.get(second[0].id, second[1]) is held
    assert await sets.get(first[0].id, first[1]) is not forgotten


@pytest.mark.usefixtures("parts_stay")
async def test_a_job_that_is_over_holds_no_set_in_memory(shop: Filed) -> None:
    await shop.give(1, 2)
    kind = _kind(shop)
    job = await shop.done("similarity", collection="default")
    plan = await settled(shop.documents.jobs, job.id)
    held = await kind.sets.get(job.id, plan)

    await kind.finish(job)

    assert await kind.sets.get(job.id, plan) is not held


def test_a_matrix_is_no_ndjson() -> None:
    asked = {"collection": "a", "mode": "matrix", "format": "ndjson"}

    with pytest.raises(ValidationError, match="npz only"):
        SimilarityParameters.model_validate(asked)


async def _chunk(shop: Filed, job: Job) -> Chunk:
    ids = await shop.documents.ids("default", Filter())
    return Chunk(job.id, 1, job.created_at, tuple(sorted(ids)))


def _kind(shop: Filed) -> SimilarityKind:
    kind = shop.services.jobs.kinds["similarity"]
    assert isinstance(kind, SimilarityKind)
    return kind
