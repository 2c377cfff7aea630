"""`duplicates` as a job: whole collections, item by item, into one file."""

import io
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from dinoserve.domain.fingerprints import METHOD
from dinoserve.domain.jobs import Job
from dinoserve.services.asset_choice import Choice
from dinoserve.services.duplicates import Sought
from dinoserve.services.upload import Upload
from dinoserve.web.job_parameters import DuplicatesParameters
from dinoserve.web.routes.duplicates import DuplicatesAnswer
from filed_jobs import Filed, filed

PICTURES = Path(__file__).parents[1] / "pictures"
LISTS = ("exact", "same_pixels", "near", "unconfirmed", "look_alike")


@pytest.fixture
async def shop() -> AsyncGenerator[Filed]:
    async with filed(model="bundled") as shop:
        yield shop


def encoded(name: str, quality: int = 90) -> bytes:
    data = io.BytesIO()
    Image.open(PICTURES / f"{name}.jpg").save(data, "JPEG", quality=quality)
    return data.getvalue()


async def given(shop: Filed, data: bytes, collection: str = "a") -> str:
    upload = Upload(data, collection)
    return (await shop.services.assets.upload(upload)).asset.id


async def several(shop: Filed) -> list[str]:
    """Store a picture twice, a copy of it, and two others."""
    return [
        await given(shop, encoded("coffee")),
        await given(shop, encoded("coffee"), "b"),
        await given(shop, encoded("coffee", 30)),
        await given(shop, encoded("rocket")),
        await given(shop, encoded("chelsea")),
    ]


async def lines(shop: Filed, job: Job) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (await shop.file(job)).splitlines()]


async def test_a_job_finds_what_the_route_finds(shop: Filed) -> None:
    await several(shop)
    choice = Choice(collections=["a", "b"])
    compared = await shop.services.duplicates.find(choice, Sought(min_score=0.5))

    job = await shop.done("duplicates", collections=["a", "b"], min_score=0.5)

    expected = DuplicatesAnswer.of(compared).model_dump(mode="json")
    told = await lines(shop, job)
    assert told == [
        {"list": name, **finding} for name in LISTS for finding in expected[name]
    ]
    assert job.result
    assert {name: job.result[name] for name in LISTS} == {
        name: len(expected[name]) for name in LISTS
    }
    assert (job.result["exact"], job.result["near"]) == (1, 1)


async def test_every_asset_keeps_its_fingerprint(shop: Filed) -> None:
    ids = await several(shop)

    await shop.done("duplicates", collections=["a", "b"])

    assert set(await shop.documents.traits.get(ids, METHOD)) == set(ids)


async def test_a_lost_original_fails_alone_and_is_still_compared_by_its_vector(
    shop: Filed,
) -> None:
    ids = await several(shop)
    lost = await shop.services.assets.get(ids[3])
    await shop.services.assets.objects.delete(lost.sha256)

    job = await shop.done("duplicates", collections=["a", "b"], min_score=-1)

    assert job.progress.reasons == {"not-found": 1}
    assert job.result
    assert job.result["without_fingerprint"] == 1
    alike = [line for line in await lines(shop, job) if line["list"] == "look_alike"]
    assert any(lost.id in (line["left"], line["right"]) for line in alike)


async def test_an_asset_that_is_not_there_is_a_failure(shop: Filed) -> None:
    one = await given(shop, encoded("coffee"))

    job = await shop.done("duplicates", assets=[one, "0" * 32])

    assert job.progress.reasons == {"asset-not-found": 1}
    assert job.result
    assert job.result["assets"] == 1


async def test_without_lists_of_pixels_nothing_is_decoded(shop: Filed) -> None:
    ids = await several(shop)

    job = await shop.done("duplicates", collections=["a", "b"], lists=["exact"])

    assert await shop.documents.traits.get(ids, METHOD) == {}
    assert {line["list"] for line in await lines(shop, job)} == {"exact"}


async def test_what_was_erased_before_the_end_is_in_no_list(shop: Filed) -> None:
    ids = await several(shop)
    job = await shop.done("duplicates", collections=["a", "b"], min_score=-1)
    await shop.services.assets.remove(ids[0])

    result = await shop.services.jobs.kinds["duplicates"].finish(job)

    assert result["assets"] == len(ids) - 1
    assert result["exact"] == 0


async def test_a_job_of_an_empty_collection_gives_an_empty_file(shop: Filed) -> None:
    job = await shop.done("duplicates", collections=["nobody"])

    assert job.state == "succeeded"
    assert await shop.file(job) == b""


async def test_a_job_of_one_collection_finds_what_a_job_of_a_list_finds(
    shop: Filed,
) -> None:
    await several(shop)

    one = await shop.done("duplicates", collection="a")
    listed = await shop.done("duplicates", collections=["a"])

    assert await lines(shop, one) == await lines(shop, listed)
    assert one.result
    assert one.result["near"] == 1


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"collection": "a", "collections": ["a"]},
        {"assets": ["0" * 32], "collections": ["a"]},
        {"collections": []},
        {"collections": ["a"], "max_distance": 21},
        {"collections": ["a"], "lists": ["similar"]},
    ],
    ids=["nothing", "two ways", "two sets", "no collection", "distance", "list"],
)
def test_what_cannot_be_asked_of_a_job_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DuplicatesParameters.model_validate(asked)
