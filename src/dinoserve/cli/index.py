"""`dinoserve index`: fill a search server from the document store."""

import json
from contextlib import AsyncExitStack
from typing import Annotated, NamedTuple

import typer
from pydantic import ValidationError
from rich.progress import Progress

from dinoserve.cli.client import AsJson, run
from dinoserve.cli.config import load_settings
from dinoserve.domain.recipes import Recipe
from dinoserve.errors import StartUpError
from dinoserve.services.rebuilding import Rebuilding
from dinoserve.setting_values import qdrant_url
from dinoserve.settings import Settings
from dinoserve.stores import check_kept, open_stores
from dinoserve.wiring import open_qdrant

index = typer.Typer(help="Fill a search server from the document store.")

# The store is read to fill, to choose queries, and to tell what is nearest to them.
_PASSES = 2


class Rebuilt(NamedTuple):
    """What came of one recipe.

    Attributes:
        recall: of the ten nearest, the share that is found, in [0, 1].
    """

    recipe: str
    vectors: int
    recall: float


@index.callback()
def _index() -> None:
    """Fill a search server from the document store."""


@index.command()
def rebuild(
    to: Annotated[
        str | None,
        typer.Option(help="qdrant+http://…; else as DINOSERVE_INDEX says."),
    ] = None,
    min_recall: Annotated[
        float, typer.Option(min=0, max=1, help="Fail if less is found.")
    ] = 0.95,
    as_json: AsJson = False,
) -> None:
    """Give a Qdrant every vector of the database, and compare what it finds."""
    run(_rebuild(_settings(to), min_recall, as_json=as_json))


def _settings(to: str | None) -> Settings:
    settings = load_settings()
    if to is not None:
        changed = settings.model_dump() | {"index": to}
        try:
            settings = Settings.model_validate(changed)
        except ValidationError as error:
            told = error.errors()[0]["msg"]
            raise typer.BadParameter(told, param_hint="--to") from None
    return settings


async def _rebuild(settings: Settings, min_recall: float, *, as_json: bool) -> int:
    url = qdrant_url(settings.index)
    if url is None:
        raise StartUpError(
            "Only a Qdrant is filled by hand: --to qdrant+http://…. Servers that search"
            " by themselves, and MongoDB, need no filling."
        )
    check_kept(settings)
    async with AsyncExitStack() as stack:
        # Nothing may be stored or erased meanwhile: what is not read is taken out.
        [stores] = await stack.enter_async_context(open_stores(settings))
        documents = stores.documents
        target = await open_qdrant(url, settings, stack)
        await target.ping()
        counts = await documents.counts()
        with Progress(disable=as_json) as bars:
            rebuilt: list[Rebuilt] = []
            for recipe in await documents.recipes():
                total = counts.get(recipe.id, 0) * _PASSES
                bar = bars.add_task(f"recipe {recipe.id}", total=total)
                work = Rebuilding(
                    documents, target, lambda n, bar=bar: bars.advance(bar, n)
                )
                rebuilt.append(await _one(work, recipe))
    _tell(rebuilt, as_json=as_json)
    return 0 if all(each.recall >= min_recall for each in rebuilt) else 1


async def _one(work: Rebuilding, recipe: Recipe) -> Rebuilt:
    count = await work.fill(recipe)
    return Rebuilt(recipe.id, count, round(await work.recall(recipe), 4))


def _tell(rebuilt: list[Rebuilt], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([each._asdict() for each in rebuilt]))
        return
    for each in rebuilt:
        print(f"recipe {each.recipe}: {each.vectors} vectors, recall {each.recall:.4f}")
    if not rebuilt:
        print("There are no vectors.")
