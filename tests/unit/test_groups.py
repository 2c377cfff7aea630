"""Groups of assets: by links, by density, by centres; and where they lie."""

import json
from collections.abc import AsyncGenerator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from dinoserve.domain.assets import Asset
from dinoserve.domain.vectors import Embedding, Matrix, normalise
from dinoserve.errors import (
    AssetNotFoundError,
    InvalidInputError,
    NotEmbeddedError,
    NotInstalledError,
)
from dinoserve.services.asset_choice import Choice
from dinoserve.services.groups import Grouped, Grouping
from filed_jobs import Filed, filed
from records import an_asset

SIZES = (12, 9, 6)


@pytest.fixture
async def shop() -> AsyncGenerator[Filed]:
    async with filed() as shop:
        yield shop


def clouds(width: int, sizes: tuple[int, ...] = SIZES) -> Matrix:
    """Vectors in clouds that lie far from each other, and one far from all."""
    random = np.random.default_rng(5)
    centres = np.eye(width)[: len(sizes) + 1]
    rows = [
        normalise(centre + random.normal(0, 0.03, width))
        for centre, size in zip(centres, (*sizes, 1), strict=True)
        for _ in range(size)
    ]
    return np.stack(rows)


async def given(shop: Filed) -> list[set[str]]:
    """Store clouds; return the ids of each, and of the one that is alone."""
    recipe = shop.services.embeddings.recipe
    assets: list[Asset] = []
    for at, vector in enumerate(clouds(recipe.dimension)):
        assets.append(an_asset(at))
        await shop.documents.add(
            assets[-1], Embedding(assets[-1].id, recipe.id, vector)
        )
    ids = [asset.id for asset in assets]
    ends = np.cumsum((0, *SIZES, 1)).tolist()
    return [set(ids[a:b]) for a, b in pairwise(ends)]


async def group(shop: Filed, **how: Any) -> Grouped:
    choice = Choice(collections=["default"])
    return await shop.services.groups.group(choice, Grouping(**how))


def sets_of(found: Grouped) -> list[set[str]]:
    return [set(found.names(each.members)) for each in found.groups]


@pytest.mark.parametrize(
    "how",
    [{"method": "neighbours"}, {"method": "hdbscan", "min_size": 4}],
    ids=["neighbours", "hdbscan"],
)
async def test_clouds_are_groups_and_what_is_alone_is_in_none(
    shop: Filed, how: dict[str, Any]
) -> None:
    *expected, alone = await given(shop)

    found = await group(shop, **how)

    assert sets_of(found) == expected
    assert set(found.names(found.ungrouped)) == alone


async def test_centres_take_everything_in(shop: Filed) -> None:
    expected = await given(shop)

    found = await group(shop, method="kmeans", clusters=4)

    assert sets_of(found) == expected
    assert len(found.ungrouped) == 0


@pytest.mark.parametrize("method", ["neighbours", "hdbscan", "kmeans"])
async def test_the_same_is_found_each_time(shop: Filed, method: str) -> None:
    await given(shop)

    once, again = [await group(shop, method=method, map="pca") for _ in range(2)]

    assert sets_of(once) == sets_of(again)
    assert once.points is not None
    assert again.points is not None
    assert np.array_equal(once.points, again.points)


async def test_what_hardly_fits_its_group_is_an_outlier(shop: Filed) -> None:
    await given(shop)
    recipe = shop.services.embeddings.recipe
    odd = an_asset("odd")
    axes = np.eye(recipe.dimension)
    vector = normalise(axes[0] + 0.4 * axes[-1])
    await shop.documents.add(odd, Embedding(odd.id, recipe.id, vector))

    found = await group(shop)

    assert found.names(found.groups[0].outliers) == [odd.id]
    assert found.names(found.groups[0].members)[-1] == odd.id


async def test_a_map_puts_clouds_apart(shop: Filed) -> None:
    first, second, *_ = await given(shop)

    found = await group(shop, map="pca")

    assert found.points is not None
    at = {key: found.points[row] for row, key in enumerate(found.ids)}
    left = np.mean([at[key] for key in first], axis=0)
    right = np.mean([at[key] for key in second], axis=0)
    assert np.linalg.norm(left - right) > 0.5


async def test_a_map_that_takes_a_library_says_what_to_install(shop: Filed) -> None:
    await given(shop)

    with pytest.raises(NotInstalledError, match="pip install umap-learn"):
        await group(shop, map="umap")


@pytest.mark.parametrize("method", ["neighbours", "hdbscan", "kmeans"])
async def test_one_asset_can_be_grouped(shop: Filed, method: str) -> None:
    [asset] = await shop.give(1)

    found = await group(shop, method=method, clusters=1, map="pca")

    assert found.ids == [asset.id]
    assert len(found.groups) == (1 if method == "kmeans" else 0)


async def test_equal_vectors_are_fewer_clusters_than_asked_for(shop: Filed) -> None:
    recipe = shop.services.embeddings.recipe
    for seed in range(5):
        asset = an_asset(seed)
        vector = clouds(recipe.dimension)[0]
        await shop.documents.add(asset, Embedding(asset.id, recipe.id, vector))

    found = await group(shop, method="kmeans", clusters=3)

    assert [len(each.members) for each in found.groups] == [5]
    assert len(found.groups[0].outliers) == 0


async def test_more_clusters_than_assets_are_refused(shop: Filed) -> None:
    await shop.give(1, 2)

    with pytest.raises(InvalidInputError) as refused:
        await group(shop, method="kmeans", clusters=3)

    assert refused.value.extra == {"field": "clusters", "limit": 2, "value": 3}


async def test_an_empty_collection_has_no_groups_to_give(shop: Filed) -> None:
    with pytest.raises(InvalidInputError, match="no assets"):
        await group(shop)


async def test_assets_of_a_collection_without_a_vector_are_counted(
    shop: Filed,
) -> None:
    await shop.give(1, 2)
    await shop.give(3, bare=True)

    assert (await group(shop)).without_vector == 1


async def test_an_asset_that_is_named_needs_a_vector(shop: Filed) -> None:
    [bare] = await shop.give(3, bare=True)

    with pytest.raises(NotEmbeddedError):
        await shop.services.groups.group(Choice([bare.id]), Grouping())
    with pytest.raises(AssetNotFoundError):
        await shop.services.groups.group(Choice(["0" * 32]), Grouping())


async def test_too_many_to_wait_for_are_left_to_a_job(shop: Filed) -> None:
    await shop.give(*range(1001), bare=True)

    with pytest.raises(InvalidInputError, match="job") as refused:
        await group(shop)

    assert refused.value.extra["limit"] == 1000


@pytest.mark.parametrize("field", ["collection", "collections"])
async def test_a_choice_that_is_refused_is_called_what_the_request_calls_it(
    shop: Filed, field: str
) -> None:
    choice = Choice(collections=["nobody"], field=field)

    with pytest.raises(InvalidInputError) as refused:
        await shop.services.groups.group(choice, Grouping())

    assert refused.value.extra == {"field": field, "value": ["nobody"]}


async def test_a_job_writes_a_line_for_every_asset(shop: Filed) -> None:
    *clusters, alone = await given(shop)

    job = await shop.done("groups", collection="default", map="pca")

    lines: list[dict[str, Any]] = [
        json.loads(line) for line in (await shop.file(job)).splitlines()
    ]
    for number, expected in enumerate([*clusters, alone]):
        name = None if expected is alone else number
        told = [line for line in lines if line["group"] == name]
        assert {line["asset"] for line in told} == expected
        assert all(np.isfinite([line["x"], line["y"]]).all() for line in told)
    assert [line["representative"] for line in lines[:5]] == [True] * 3 + [False] * 2
    assert job.result
    assert (job.result["groups"], job.result["ungrouped"]) == (3, 1)


async def test_a_job_tells_which_assets_have_no_vector(shop: Filed) -> None:
    await shop.give(1, 2)
    await shop.give(3, bare=True)

    job = await shop.done("groups", collection="default")

    assert job.progress.reasons == {"asset-not-embedded": 1}
    assert job.result
    assert job.result["assets"] == 2


@pytest.mark.parametrize(
    ("asked", "told"),
    [({"map": "umap"}, "umap-learn"), ({"method": "kmeans", "clusters": 9}, "9")],
    ids=["library", "clusters"],
)
async def test_a_job_that_cannot_be_done_says_why(
    shop: Filed, asked: dict[str, Any], told: str
) -> None:
    await shop.give(1, 2)

    job = await shop.done("groups", collection="default", **asked)

    assert job.state == "failed"
    assert told in (job.error or "")


async def test_a_job_of_an_empty_collection_gives_an_empty_file(shop: Filed) -> None:
    job = await shop.done("groups", collection="default")

    assert job.state == "succeeded"
    assert await shop.file(job) == b""
