"""`dinoserve graph`: what follows the relations, e.g. an ArangoDB."""

import json
from contextlib import AsyncExitStack
from typing import Annotated

import typer
from rich.progress import Progress

from dinoserve.cli.client import AsJson, run
from dinoserve.cli.config import load_settings
from dinoserve.domain.relations import Scope
from dinoserve.errors import StartUpError, UnavailableError
from dinoserve.graphs import open_graph
from dinoserve.ports import DocumentStore
from dinoserve.services.graph_reading import FollowedCopy
from dinoserve.settings import Settings
from dinoserve.stores import check_kept, open_stores
from dinoserve.telemetry import Metrics

graph = typer.Typer(help="Look after the ArangoDB that follows the relations.")


@graph.command()
def resync(as_json: AsJson = False) -> None:
    """Give the ArangoDB every relation anew, and take out what the database lacks."""
    run(_resync(load_settings(), as_json=as_json))


@graph.command()
def unfollow(
    follower: Annotated[
        str, typer.Argument(help="e.g. pathrag; else the ArangoDB of the settings")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Note no more for a follower; a server that has it again gives it everything."""
    run(_unfollow(load_settings(), follower, as_json=as_json))


async def _resync(settings: Settings, *, as_json: bool) -> int:
    async with AsyncExitStack() as stack:
        documents, copy = await _opened(settings, stack)
        place = await copy.relations.ping()
        total = await _count(documents)
        await copy.follower.fill()
        with Progress(disable=as_json) as bars:
            bar = bars.add_task(place, total=total)
            await copy.follower.drain(lambda more: bars.advance(bar, more))
        left = copy.follower.set_aside
    if left:
        raise UnavailableError(f"{place} fails on {left} of them.", port="graph")
    if as_json:
        print(json.dumps({"place": place, "relations": total}))
    else:
        print(f"{place} has the {total} relations of the database.")
    return 0


async def _unfollow(settings: Settings, name: str, *, as_json: bool) -> int:
    async with AsyncExitStack() as stack:
        if name:
            check_kept(settings)
            [stores] = await stack.enter_async_context(open_stores(settings))
            log = stores.documents.relation_log
        else:
            documents, copy = await _opened(settings, stack)
            log, name = documents.relation_log, copy.follower.name
        await log.unfollow(name)
    print(json.dumps({"follower": name}) if as_json else f"{name} is forgotten.")
    return 0


async def _opened(
    settings: Settings, stack: AsyncExitStack
) -> tuple[DocumentStore, FollowedCopy]:
    check_kept(settings)
    [stores] = await stack.enter_async_context(open_stores(settings))
    copy = await open_graph(settings, stores.documents, Metrics(), stack)
    if copy is None:
        raise StartUpError(
            "Nothing follows the relations: DINOSERVE_GRAPH names no arangodb://…."
        )
    return stores.documents, copy


async def _count(documents: DocumentStore) -> int:
    blocks = documents.relations.scan(Scope())
    return sum([len(block.weight) async for block in blocks])
