"""`dinoserve copy`: everything of one set of stores into another, verified."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple, TypeAlias

import typer

from dinoserve.cli.client import AsJson, run
from dinoserve.cli.config import load_settings
from dinoserve.cli.places import settings_of
from dinoserve.cli.progress import Bar, Tally
from dinoserve.domain.assets import Asset
from dinoserve.errors import DinoserveError, StorageFullError, UnavailableError
from dinoserve.ports import DocumentStore
from dinoserve.services.character_copying import (
    CHARACTER_DIFFERS,
    copy_characters,
    lacking_characters,
)
from dinoserve.services.copying import MISSING, CopyService, pages
from dinoserve.services.relation_copying import (
    RELATION_DIFFERS,
    copy_relations,
    lacking_relations,
)
from dinoserve.stores import open_stores

# As many objects are on their way at a time, a part of each in memory.
_AT_ONCE = 8

Work: TypeAlias = Callable[[Asset], Awaitable[None]]
Target = Annotated[
    Path, typer.Option("--to", help="A data folder, or a file of settings like .env.")
]
Source = Annotated[
    Path | None, typer.Option("--from", help="The same; else the settings in effect.")
]


class Verified(NamedTuple):
    """What comparing came to, and how many assets the target has besides."""

    tally: Tally
    others: int


def copy(target: Target, source: Source = None, as_json: AsJson = False) -> None:
    """Copy records, vectors, recipes, characters, relations, originals; verify."""
    run(_copy(source, target, as_json=as_json))


async def _copy(source: Path | None, target: Path, *, as_json: bool) -> int:
    own = load_settings() if source is None else settings_of(source)
    async with open_stores(own, settings_of(target)) as stores:
        service = CopyService(*stores)
        copied = await copy_all(service)
        verified = None if copied.stopped else await verify_all(service)
    if as_json:
        print(json.dumps(_as_json(copied, verified)))
    else:
        print("\n".join(_lines(copied, verified)))
    return verified.tally.exit_code if verified else copied.exit_code


async def copy_all(service: CopyService) -> Tally:
    """Copy everything that the target lacks; it may be stopped and done again.

    Characters come after assets, which they refer to, and relations last.

    Raises:
        UnavailableError: a store failed before any asset was copied.
    """
    source = service.source.documents
    await service.copy_recipes()
    tally = Tally(await _count(source), "assets", ("copied", "already there"))

    async def copy_one(asset: Asset) -> None:
        lacked = await service.copy(asset)
        tally.outcomes["copied" if lacked else "already there"] += 1

    await _work_off(source, copy_one, tally)
    if not tally.stopped:
        await copy_characters(source, service.target.documents)
        await copy_relations(source, service.target.documents)
    return tally


async def verify_all(service: CopyService) -> Verified:
    """Compare every record and vector, and the digest of every original.

    Raises:
        UnavailableError: a store failed before or after the comparing.
    """
    source = service.source.documents
    tally = Tally(await _count(source), "assets", ("verified",))

    async def verify_one(asset: Asset) -> None:
        if difference := await service.difference(asset):
            tally.fail(asset.id, "different", difference)
        else:
            tally.outcomes["verified"] += 1

    await _work_off(source, verify_one, tally)
    if not tally.stopped:
        for lacking in await lacking_characters(source, service.target.documents):
            tally.fail(lacking, "different", CHARACTER_DIFFERS)
        for lacking in await lacking_relations(source, service.target.documents):
            tally.fail(lacking, "different", RELATION_DIFFERS)
    missing = sum(failure.detail == MISSING for failure in tally.failures)
    there = await _count(service.target.documents)
    return Verified(tally, there - (tally.total - missing))


async def _work_off(source: DocumentStore, work: Work, tally: Tally) -> None:
    """Do the work for every asset; a store that fails as a whole ends it early."""
    with Bar(tally) as bar:

        async def one(asset: Asset) -> None:
            await _try(asset, work, tally)
            bar.show()

        try:
            async for assets in pages(source):
                await _at_once(assets, one)
        except* UnavailableError as errors:
            tally.stopped = str(errors.exceptions[0])
        except* asyncio.CancelledError:
            tally.stopped, tally.interrupted = "interrupted", True
        finally:
            tally.close()


async def _at_once(assets: Sequence[Asset], work: Work) -> None:
    waiting = iter(assets)

    async def worker() -> None:
        for asset in waiting:
            await work(asset)

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(worker())


async def _try(asset: Asset, work: Work, tally: Tally) -> None:
    try:
        await work(asset)
    except DinoserveError as error:
        # One original may be lost; without its database a store has nothing.
        if (
            isinstance(error, StorageFullError)
            or error.extra.get("port") == "documents"
        ):
            raise
        tally.fail(asset.id, error.code, error.detail)


async def _count(documents: DocumentStore) -> int:
    return sum([len(assets) async for assets in pages(documents)])


def _as_json(copied: Tally, verified: Verified | None) -> dict[str, object]:
    return {
        "copied": copied.as_json(),
        "verified": verified and verified.tally.as_json(),
        "others": verified and verified.others,
    }


def _lines(copied: Tally, verified: Verified | None) -> list[str]:
    if verified is None:
        return copied.lines()
    others = f"{verified.others} other assets are in the target"
    return [*copied.lines(), *verified.tally.lines(), others]
