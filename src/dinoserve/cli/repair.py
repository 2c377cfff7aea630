"""Bytes without record and records without bytes: shown, and removed if wanted."""

import json
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple, Self, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from dinoserve import wiring
from dinoserve.cli.client import complain, printable
from dinoserve.cli.progress import Tally, work_off
from dinoserve.domain.assets import Asset
from dinoserve.errors import DinoserveError
from dinoserve.ports import Area, DocumentStore
from dinoserve.services.cached_documents import CachedDocuments
from dinoserve.services.losses import Losses, LossService
from dinoserve.services.orphans import Orphans, OrphanService
from dinoserve.settings import Settings
from dinoserve.stores import (
    check_kept,
    grace_s,
    is_shared,
    open_areas,
    open_cache,
    open_documents,
)
from dinoserve.telemetry import Metrics

_SHOWN = 20
_PLAIN_EVERY_S = 5.0
_WORKERS = 8

What: TypeAlias = Area | Literal["records"]
_ASTRAY: Final[dict[What, str]] = {
    "originals": "originals without a record",
    "derived": "renditions without an original",
    "incoming": "direct uploads never completed",
    "records": "records without their original",
}


class Found(NamedTuple):
    """What is astray, and how many objects and records were looked at."""

    orphans: Orphans
    losses: Losses
    looked_at: dict[str, int]

    def names(self, what: What) -> Sequence[str]:
        """Return names of objects, or ids of assets."""
        if what == "records":
            return [asset.id for asset in self.losses.assets]
        return self.orphans.names[what]

    def everything(self) -> list[tuple[What, str]]:
        """Return all of it: what it is, and its name."""
        return [(what, name) for what in _ASTRAY for name in self.names(what)]


async def look(settings: Settings, *, repair: bool, force: bool, as_json: bool) -> int:
    """Print what is astray in the stores, and remove it if that is wanted.

    Args:
        settings: of the stores.
        repair: remove bytes without record, and erase records without bytes.
        force: do so even if the one or the other is most of all there is.
        as_json: print one JSON object.

    Returns:
        0: nothing is astray any more; 1: something is; 130: Ctrl-C.

    Raises:
        StartUpError: a server holds the data folder, or a store cannot be opened.
        UnavailableError: a store failed.
    """
    async with _opened(settings) as service:
        found = await _find(service)
        tally, erased = None, list[Asset]()
        if repair and found.everything() and (force or _is_plausible(found)):
            tally, erased = await _repair(service, found)
    if as_json:
        print(json.dumps(_as_json(found, tally)))
    else:
        print("\n".join(map(printable, _lines(found, tally, erased))))
    return tally.exit_code if tally else int(bool(found.everything()))


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncGenerator[LossService]:
    check_kept(settings)
    async with AsyncExitStack() as stack:
        if not is_shared(settings):
            stack.enter_context(wiring.claim_folder(settings.data, "alone"))
        documents: DocumentStore = await open_documents(settings, stack)
        # What servers have in Redis of an erased asset must go too.
        if levels := await open_cache(settings, Metrics(), stack):
            documents = CachedDocuments(documents, levels, trusts_records=False)
        areas = await open_areas(settings)
        yield LossService(
            OrphanService(
                documents,
                areas,
                lambda: datetime.now(UTC),
                grace_s(settings, alone=True),
            )
        )


async def _find(service: LossService) -> Found:
    with _Looking() as looking:
        orphans = await service.orphans.find(looking.show)
        losses = await service.find(orphans.stored, looking.show)
    return Found(orphans, losses, looking.counts)


def _is_plausible(found: Found) -> bool:
    """Tell whether it may be repaired unforced; complain if not."""
    wrong: list[str] = []
    if found.orphans.are_too_many:
        wrong.append("most originals have no record: is this the right database?")
    if found.losses.are_too_many:
        wrong.append("most records have no original: is this the right object store?")
    for each in wrong:
        complain(f"{each} Nothing was removed; if all is right, add --force.")
    return not wrong


async def _repair(service: LossService, found: Found) -> tuple[Tally, list[Asset]]:
    everything = found.everything()
    tally = Tally(len(everything), "items", ("removed", "erased", "spared"))
    erased: list[str] = []

    async def mend(item: tuple[What, str]) -> None:
        what, name = item
        try:
            if what == "records":
                is_gone, how = await service.erase(name), "erased"
                erased.extend([name] if is_gone else [])
            else:
                is_gone, how = await service.orphans.remove(what, name), "removed"
        except DinoserveError as error:
            tally.fail(name, error.code, error.detail)
        else:
            tally.outcomes[how if is_gone else "spared"] += 1

    await work_off(everything, mend, tally, workers=_WORKERS)
    return tally, [asset for asset in found.losses.assets if asset.id in erased]


def _as_json(found: Found, tally: Tally | None) -> dict[str, object]:
    return {
        "looked_at": found.looked_at,
        "orphans": found.orphans.names,
        "lost": [
            {"id": asset.id, "sha256": asset.sha256, "bytes": asset.size_bytes}
            for asset in found.losses.assets
        ],
        "repaired": tally and tally.as_json(),
    }


def _lines(found: Found, tally: Tally | None, erased: Sequence[Asset]) -> Iterator[str]:
    for what, told in _ASTRAY.items():
        names = found.names(what)
        yield f"{told}: {len(names)} of {found.looked_at[what]} {what}"
        yield from (f"  {name}" for name in names[:_SHOWN])
        if len(names) > _SHOWN:
            yield f"  … and {len(names) - _SHOWN} more; --json names all"
    for asset in erased:
        name = f"{asset.filename!r}, " if asset.filename else ""
        yield f"erased {asset.id}: {name}{asset.size_bytes} bytes, {asset.sha256}"
    if erased:
        yield "Upload the same bytes again to have an asset back, under the same id."
    if tally:
        yield from tally.lines()
    elif found.everything():
        yield "Nothing was changed; `dinoserve doctor --repair` removes all of it."


class _Looking:
    """Shows on standard error how many of what were looked at; no total is known."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._console = Console(stderr=True)
        self._next_line_s = time.monotonic() + _PLAIN_EVERY_S
        self._progress = Progress(
            BarColumn(),
            TextColumn("{task.description}"),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None)

    def show(self, what: str, count: int) -> None:
        """Show how many of it were looked at so far."""
        self.counts[what] = count
        line = f"{count} {what} looked at"
        self._progress.update(self._task, description=line)
        if not self._console.is_terminal and time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + _PLAIN_EVERY_S
            self._console.print(line, highlight=False)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
