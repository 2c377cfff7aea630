"""Moving assets to another recipe: nothing is lost on the way, nothing stays behind."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import numpy as np
import pytest

from dinoserve.domain.assets import Metadata
from dinoserve.domain.jobs import Chunk, Job, Outcome
from dinoserve.domain.vectors import Embedding, Vector
from dinoserve.errors import InvalidInputError, RecipeMismatchError, UnavailableError
from dinoserve.services import Services
from dinoserve.services.jobs import Asked
from dinoserve.services.kinds.reembed import ReembedKind
from dinoserve.services.search import SearchRequest
from dinoserve.services.sources import Encoded, Kept
from dinoserve.services.upload import Upload
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import open_services
from odd_files import photo
from working import at_work, make_working

OLD = "feedfacefeedface"
OLDER = "0123456789abcdef"
VECTOR: Vector = np.full(4, 0.5, np.float32)


@pytest.fixture
async def services() -> AsyncGenerator[Services]:
    memory = {
        "documents": "memory:",
        "objects": "memory:",
        "queue": "memory:",
        "model": "stub",
    }
    async with open_services(Settings.model_validate(memory), Metrics()) as services:
        recipe = services.models.card.recipe
        await services.assets.documents.save_recipe(replace(recipe, revision="old"))
        yield services


@pytest.fixture
def kind(services: Services) -> ReembedKind:
    return ReembedKind(services.assets.documents, services.embeddings)


async def give(services: Services, seed: int, *others: str, to: str = "default") -> str:
    """Store a picture with vectors of other recipes; return the asset's id."""
    given = Upload(photo(seed, 64, 48), collection=to)
    uploaded = await services.assets.upload(given, embed=False)
    for recipe in others:
        embedding = Embedding(uploaded.asset.id, recipe, VECTOR)
        await services.assets.documents.put(embedding)
    return uploaded.asset.id


async def recipes_of(services: Services, asset: str) -> set[str]:
    return {ref.recipe for ref in (await services.assets.get(asset)).embeddings}


def asked(kind: ReembedKind, **more: object) -> Asked:
    return Asked("reembed", {"recipe": kind.embeddings.recipe.id, **more})


async def done(kind: ReembedKind, asked: Asked) -> Job:
    """Return the job once it is over."""
    async with at_work(make_working(kind)) as working:
        job, _ = await working.jobs.submit(asked)
        return await working.over(job.id)


async def test_every_asset_moves_and_leaves_nothing_of_the_old_recipes(
    services: Services, kind: ReembedKind
) -> None:
    assets = [await give(services, seed, OLD, OLDER) for seed in range(5)]
    new = kind.embeddings.recipe.id

    job = await done(kind, asked(kind))

    assert job.state == "succeeded"
    assert job.result == {"recipe": new, "left": 0, "removed": 10}
    assert [await recipes_of(services, asset) for asset in assets] == [{new}] * 5
    assert await services.assets.documents.counts() == {new: 5}


async def test_no_cache_shows_what_was_removed(
    services: Services, kind: ReembedKind
) -> None:
    asset = await give(services, 1, OLD)
    await done(kind, asked(kind, remove_old=False))
    seen = services.search.documents
    assert len((await seen.get([asset]))[asset].embeddings) == 2
    assert await seen.vectors([asset], OLD)

    await done(kind, asked(kind))

    [ref] = (await seen.get([asset]))[asset].embeddings
    assert ref.recipe == kind.embeddings.recipe.id
    assert await seen.vectors([asset], OLD) == {}


async def test_old_vectors_can_be_kept(services: Services, kind: ReembedKind) -> None:
    asset = await give(services, 1, OLD)

    job = await done(kind, asked(kind, remove_old=False))

    assert (job.result or {})["removed"] == 0
    assert await recipes_of(services, asset) == {OLD, kind.embeddings.recipe.id}


async def test_other_collections_stay_as_they_are(
    services: Services, kind: ReembedKind
) -> None:
    inside = await give(services, 1, OLD, to="cats")
    outside = await give(services, 2, OLD, to="dogs")

    await done(kind, asked(kind, collection="cats"))

    assert await recipes_of(services, inside) == {kind.embeddings.recipe.id}
    assert await recipes_of(services, outside) == {OLD}


async def test_an_asset_that_cannot_be_moved_keeps_its_old_vector(
    services: Services, kind: ReembedKind
) -> None:
    moved, stuck = [await give(services, seed, OLD) for seed in range(2)]
    lost = await services.assets.get(stuck)
    await services.assets.objects.delete(lost.sha256)

    job = await done(kind, asked(kind))

    assert (job.state, job.progress.reasons) == ("succeeded", {"not-found": 1})
    assert job.result == {
        "recipe": kind.embeddings.recipe.id,
        "left": 1,
        "removed": 1,
    }
    assert await recipes_of(services, stuck) == {OLD}
    assert await recipes_of(services, moved) == {kind.embeddings.recipe.id}


async def test_no_old_vector_goes_while_items_are_left(
    services: Services, kind: ReembedKind
) -> None:
    """Going back to the old model before the end loses nothing."""
    assets = [await give(services, seed, OLD) for seed in range(3)]
    job, _ = await make_working(kind).jobs.submit(asked(kind))
    [found] = [found async for found in kind.plan(job, None)]

    for at, asset in enumerate(found.items, 1):
        await kind.work(job, Chunk(job.id, at, job.created_at, items=(asset,)))

        kept = await services.assets.documents.vectors(assets, OLD)
        assert len(kept) == 3


async def test_while_assets_move_searches_say_what_they_cannot_compare(
    services: Services, kind: ReembedKind
) -> None:
    assets = [await give(services, seed, OLD) for seed in range(3)]
    query = SearchRequest(Encoded(photo(9, 64, 48)))
    job, _ = await make_working(kind).jobs.submit(asked(kind))
    with pytest.raises(RecipeMismatchError):
        await services.search.search(query)

    await kind.work(job, Chunk(job.id, 1, job.created_at, items=(assets[0],)))

    during = await services.search.search(query)
    assert ([hit.asset.id for hit in during.hits], during.not_searched) == (
        assets[:1],
        2,
    )
    with pytest.raises(RecipeMismatchError):
        await services.search.search(SearchRequest(Kept(assets[1])))
    await done(kind, asked(kind))
    after = await services.search.search(query)
    assert (len(after.hits), after.not_searched) == (3, 0)
    assert len((await services.search.search(SearchRequest(Kept(assets[1])))).hits) == 2


async def test_what_an_old_server_stores_meanwhile_moves_as_well(
    services: Services, kind: ReembedKind
) -> None:
    await give(services, 1, OLD)
    working = make_working(kind)
    late: list[str] = []

    class Late(ReembedKind):
        async def finish(self, job: Job) -> Metadata:
            late.append(await give(services, 2, OLD))
            return await super().finish(job)

    working = make_working(Late(kind.documents, kind.embeddings))
    async with at_work(working):
        job, _ = await working.jobs.submit(asked(kind))
        over = await working.over(job.id)

    assert (over.result or {})["left"] == 0
    assert await recipes_of(services, late[0]) == {kind.embeddings.recipe.id}


@pytest.mark.parametrize("breaks", range(8))
async def test_cut_off_anywhere_it_ends_right(
    services: Services, kind: ReembedKind, breaks: int
) -> None:
    """A worker stops at the n-th thing that it does; another takes over."""
    assets = [await give(services, seed, OLD, OLDER) for seed in range(4)]
    steps = 0
    reached = asyncio.Event()

    async def step() -> None:
        nonlocal steps
        steps += 1
        if steps > breaks:
            reached.set()
            await asyncio.Event().wait()

    class Breaking(ReembedKind):
        async def work(self, job: Job, chunk: Chunk) -> Outcome:
            await step()
            outcome = await super().work(job, chunk)
            await step()
            return outcome

        async def finish(self, job: Job) -> Metadata:
            await step()
            for recipe in (OLD, OLDER):
                await self.documents.drop(recipe, self.embeddings.recipe.id, None)
                await step()
            return await super().finish(job)

    small = Breaking(kind.documents, kind.embeddings)
    object.__setattr__(small, "chunk_items", 2)
    working = make_working(small)
    job, _ = await working.jobs.submit(asked(kind))
    async with at_work(working, slots=1):
        await asyncio.wait(
            [
                asyncio.create_task(reached.wait()),
                asyncio.create_task(working.over(job.id)),
            ],
            return_when=asyncio.FIRST_COMPLETED,
        )
    healthy = make_working(kind, store=working.store)
    async with at_work(healthy):
        over = await healthy.over(job.id)

    new = kind.embeddings.recipe.id
    assert (over.state, over.progress.done) == ("succeeded", 4)
    assert [await recipes_of(services, asset) for asset in assets] == [{new}] * 4


async def test_a_worker_with_another_model_leaves_the_job_alone(
    services: Services, kind: ReembedKind
) -> None:
    """Else it would take its own recipe for the new one, and remove the other."""
    asset = await give(services, 1, OLD)
    new = kind.embeddings.recipe.id
    await kind.embeddings.embed([Kept(asset)])
    job, _ = await make_working(kind).jobs.submit(asked(kind))
    elsewhere = replace(job, parameters={"recipe": OLD})

    for work in (
        anext(kind.plan(elsewhere, None)),
        kind.work(elsewhere, Chunk(job.id, 1, job.created_at, items=(asset,))),
        kind.finish(elsewhere),
    ):
        with pytest.raises(UnavailableError, match="worker with that model"):
            await work

    assert await recipes_of(services, asset) == {OLD, new}


@pytest.mark.parametrize("recipe", [None, OLD])
async def test_the_recipe_must_be_the_loaded_one(
    kind: ReembedKind, recipe: str | None
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        await make_working(kind).jobs.submit(Asked("reembed", {"recipe": recipe}))

    assert caught.value.extra["field"] == "parameters.recipe"
    assert caught.value.extra["limit"] == kind.embeddings.recipe.id
