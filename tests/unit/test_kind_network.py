"""`network`: which relations a job makes, and what it leaves alone."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from dinoserve.adapters.memory.relations import MemoryRelations
from dinoserve.domain.assets import Asset
from dinoserve.domain.relations import Reach, Relation, RelationKey
from dinoserve.domain.vectors import Embedding, normalise
from dinoserve.services.kinds.network import NetworkKind
from filed_jobs import Filed, filed
from records import NOON, a_vector, an_asset

SEVERAL = 600  # of chunks of 256


@pytest.fixture
async def shop() -> AsyncGenerator[Filed]:
    async with filed() as shop:
        yield shop


async def alike(shop: Filed, *seeds: int, recipe: str | None = None) -> list[Asset]:
    """Store assets of which every two look somewhat alike."""
    loaded = shop.services.embeddings.recipe
    common = a_vector(10_000, loaded.dimension)
    assets = [an_asset(seed, created_at=NOON + timedelta(seed)) for seed in seeds]
    for seed, asset in zip(seeds, assets, strict=True):
        vector = normalise(common + 0.8 * a_vector(seed, loaded.dimension))
        await shop.documents.add(
            asset, Embedding(asset.id, recipe or loaded.id, vector)
        )
    return assets


def node(asset: Asset) -> str:
    return f"asset:{asset.id}"


async def related(shop: Filed, assets: Sequence[Asset]) -> dict[RelationKey, Relation]:
    """Return the relations `similar` of these."""
    nodes = [node(asset) for asset in assets]
    reach = Reach(["similar"])
    edges = await shop.documents.relations.touching(nodes, reach, 1_000_000)
    told = await shop.documents.relations.get([edge.key for edge in edges])
    return {each.key: each for each in told}


def told(relations: dict[RelationKey, Relation]) -> dict[RelationKey, object]:
    """Return what two runs must have in common."""
    return {
        key: (each.weight, each.recipe, each.collection, dict(each.attributes))
        for key, each in relations.items()
    }


async def said(shop: Filed, left: Asset, right: Asset, **changes: object) -> Relation:
    """Relate two assets as a user does."""
    key = RelationKey(node(left), node(right), "similar")
    relation = replace(Relation(key, 0.125, NOON, "user"), **changes)
    await shop.documents.relations.put([relation])
    return relation


async def test_each_asset_is_related_to_its_nearest(shop: Filed) -> None:
    assets = sorted(await alike(shop, *range(SEVERAL)), key=lambda asset: asset.id)

    job = await shop.done("network", collection="default", k=4)

    ids = [asset.id for asset in assets]
    scores = (await shop.services.similarity.compare(ids, ids)).scores
    np.fill_diagonal(scores, -2)
    made = await related(shop, assets)
    assert len(made) == SEVERAL * 4
    for row, asset in enumerate(assets):
        best: list[int] = np.argsort(-scores[row])[:4].tolist()
        for at in best:
            one = made[RelationKey(node(asset), node(assets[at]), "similar")]
            assert one.weight == pytest.approx(scores[row, at], abs=1e-6)
            assert (one.origin, one.collection) == (f"job:{job.id}", "default")
            assert one.recipe == shop.services.embeddings.recipe.id
    assert job.result
    assert job.result["relations_put"] == SEVERAL * 4


async def test_no_relation_is_below_the_least_score(shop: Filed) -> None:
    assets = await alike(shop, *range(50))

    await shop.done("network", collection="default", k=49, min_score=0.62)

    weights = [each.weight for each in (await related(shop, assets)).values()]
    assert 0 < len(weights) < 50 * 49
    assert min(weights) >= 0.62


async def test_a_mutual_network_keeps_what_goes_both_ways(shop: Filed) -> None:
    assets = await alike(shop, *range(300))
    await shop.done("network", collection="default", k=3)
    one_way = await related(shop, assets)

    await shop.done("network", collection="default", k=3, mutual=True)

    both = {
        key
        for key in one_way
        if RelationKey(key.target, key.source, key.kind) in one_way
    }
    assert (await related(shop, assets)).keys() == both
    assert 0 < len(both) < len(one_way)


async def test_a_run_without_changes_compares_and_stores_nothing(shop: Filed) -> None:
    await alike(shop, *range(60))
    await shop.done("network", collection="default", k=4)

    job = await shop.done("network", collection="default", k=4)

    assert job.result
    assert [job.result[name] for name in ("compared", "relations_put")] == [0, 0]


@pytest.mark.parametrize("mutual", [False, True], ids=["directed", "mutual"])
@pytest.mark.parametrize("seed", range(3))
async def test_runs_after_changes_give_what_one_full_run_gives(
    shop: Filed, seed: int, *, mutual: bool
) -> None:
    rng = np.random.default_rng(seed)
    asked = {"collection": "default", "k": 3, "min_score": 0.5, "mutual": mutual}
    there = await alike(shop, *range(200))
    await shop.done("network", **asked)
    for turn in range(3):
        for at in sorted(rng.choice(len(there), 3, replace=False), reverse=True):
            await shop.services.assets.remove(there.pop(at).id)
        there += await alike(shop, *range(1000 + 10 * turn, 1003 + 10 * turn))
        job = await shop.done("network", **asked)
        assert job.result
        assert mutual or int(str(job.result["compared"])) < len(there)
    step_by_step = told(await related(shop, there))
    await shop.documents.relations.remove(nodes=[node(asset) for asset in there])

    await shop.done("network", **asked, full=True)

    assert step_by_step == told(await related(shop, there))
    assert step_by_step


async def test_a_run_cut_off_while_it_stores_is_made_good_by_the_next(
    shop: Filed, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = await alike(shop, *range(300))
    await shop.done("network", collection="default", k=5)
    there += await alike(shop, *range(1000, 1020))
    put = MemoryRelations.put

    async def put_some(self: MemoryRelations, some: Sequence[Relation]) -> None:
        await put(self, some[:30])

    async def no_more(*_: object, **__: object) -> None:
        return

    with monkeypatch.context() as patched:
        patched.setattr(MemoryRelations, "put", put_some)
        patched.setattr(MemoryRelations, "remove", no_more)
        await shop.done("network", collection="default", k=5)

    await shop.done("network", collection="default", k=5)

    again = told(await related(shop, there))
    await shop.done("network", collection="default", k=5, full=True)
    assert again == told(await related(shop, there))
    assert len(again) == 320 * 5


async def test_a_smaller_k_erases_what_is_too_much(shop: Filed) -> None:
    assets = await alike(shop, *range(40))
    await shop.done("network", collection="default", k=8)

    job = await shop.done("network", collection="default", k=2)

    assert len(await related(shop, assets)) == 40 * 2
    assert job.result
    assert job.result["relations_removed"] == 40 * 6


async def test_what_another_recipe_found_stays(shop: Filed) -> None:
    one, two, three = await alike(shop, 1, 2, 3)
    other = await said(shop, one, two, origin="job:a", recipe="other")
    await said(shop, one, three, origin="job:a", recipe="other")

    await shop.done("network", collection="default", k=1, min_score=0.99)

    assert (await related(shop, [one]))[other.key] == other
    assert len(await related(shop, [one])) == 2


async def test_what_another_recipe_found_goes_if_that_is_asked_for(
    shop: Filed,
) -> None:
    one, two = await alike(shop, 1, 2)
    await said(shop, one, two, origin="job:a", recipe="other")

    await shop.done("network", collection="default", min_score=0.99, remove_old=True)

    assert await related(shop, [one, two]) == {}


async def test_what_somebody_said_is_neither_replaced_nor_erased(shop: Filed) -> None:
    one, two, far = await alike(shop, 1, 2, 3)
    recipe = shop.services.embeddings.recipe.id
    near = await said(shop, one, two, recipe=recipe)

    await shop.done("network", collection="default", k=1, min_score=0.01)
    await shop.done("network", collection="default", k=1, min_score=0.99)

    assert await related(shop, [one, two, far]) == {near.key: near}


async def test_assets_that_are_named_are_related_to_each_other_alone(
    shop: Filed,
) -> None:
    one, two, three = await alike(shop, 1, 2, 3)

    await shop.done("network", assets=[one.id, three.id])

    made = await related(shop, [one, two, three])
    assert {key[:2] for key in made} == {
        (node(one), node(three)),
        (node(three), node(one)),
    }


async def test_assets_without_a_vector_are_counted_and_lose_their_relations(
    shop: Filed,
) -> None:
    one, two = await alike(shop, 1, 2)
    [bare] = await shop.give(3, bare=True)
    recipe = shop.services.embeddings.recipe.id
    await said(shop, bare, one, origin="job:a", recipe=recipe)

    job = await shop.done("network", collection="default")

    assert job.result
    assert (job.result["assets"], job.result["without_vector"]) == (2, 1)
    assert {key.source for key in await related(shop, [bare, one, two])} == {
        node(one),
        node(two),
    }


@pytest.mark.usefixtures("parts_stay")
async def test_what_is_erased_while_the_network_is_made_is_in_no_relation(
    shop: Filed,
) -> None:
    assets = await alike(shop, *range(30))
    job = await shop.done("network", collection="default", k=5)
    await shop.documents.relations.remove(nodes=[node(asset) for asset in assets])
    await shop.services.assets.remove(assets[7].id)

    await _kind(shop).finish(job)

    made = await related(shop, assets)
    assert made
    assert node(assets[7]) not in {end for key in made for end in key[:2]}


@pytest.mark.usefixtures("parts_stay")
async def test_a_job_stores_nothing_once_a_newer_one_makes_the_network(
    shop: Filed,
) -> None:
    assets = await alike(shop, *range(30))
    older = await shop.done("network", collection="default", k=5)
    await shop.done("network", collection="default", k=2)

    result = await _kind(shop).finish(older)

    assert result["relations_put"] == 0
    assert len(await related(shop, assets)) == 30 * 2


@pytest.mark.parametrize("count", [0, 1])
async def test_a_collection_of_hardly_any_has_no_relations(
    shop: Filed, count: int
) -> None:
    await alike(shop, *range(count))

    job = await shop.done("network", collection="default")

    assert job.state == "succeeded"
    assert job.result
    assert job.result["relations_put"] == 0


def _kind(shop: Filed) -> NetworkKind:
    kind = shop.services.jobs.kinds["network"]
    assert isinstance(kind, NetworkKind)
    return kind
