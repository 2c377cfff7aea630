"""`dinoserve eval`: how well the model tells labelled pictures apart."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from dinoserve.cli.client import AsJson, complain, run
from dinoserve.cli.config import load_settings
from dinoserve.cli.eval_report import Measured, Report
from dinoserve.cli.labelled_folders import read_folder
from dinoserve.cli.progress import Tally, work_off
from dinoserve.domain.evaluation import Looks
from dinoserve.domain.labelled_sets import Amounts, LabelledSet, Plan, Sight, plan
from dinoserve.domain.vectors import Vector
from dinoserve.engine.distortions import DISTORTIONS
from dinoserve.errors import DinoserveError, InvalidInputError
from dinoserve.loading import open_evaluation
from dinoserve.services.evaluation import EvaluationService
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics, configure_logging

_AT_ONCE = 8
_NOTHING_DONE = 2
_FILE_WIDTH = 140
_USUAL = Amounts()


def evaluate(  # noqa: PLR0913, PLR0917 - every option is an argument
    folders: Annotated[
        list[Path], typer.Argument(help="Labelled folders; see docs/evaluation.md.")
    ],
    model: Annotated[
        str | None, typer.Option(help="As DINOSERVE_MODEL, which it goes before.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the report, as JSON and Markdown.")
    ] = None,
    gallery: Annotated[
        int, typer.Option(min=2, help="Pictures to look among, at most.")
    ] = _USUAL.gallery,
    queries: Annotated[
        int, typer.Option(min=2, help="Pictures to look up, at most.")
    ] = _USUAL.queries,
    edited: Annotated[
        int, typer.Option(min=0, help="Pictures to distort, at most.")
    ] = _USUAL.edited,
    k: Annotated[
        int, typer.Option("--k", min=1, help="Neighbours that vote.")
    ] = _USUAL.k,
    as_json: AsJson = False,
) -> None:
    """Measure the model on labelled pictures, beside a histogram and a hash."""
    settings = load_settings(**({} if model is None else {"model": model}))
    configure_logging("error")
    amounts = _USUAL._replace(gallery=gallery, queries=queries, edited=edited, k=k)
    run(_evaluate(settings, folders, amounts, out, as_json=as_json))


async def _evaluate(
    settings: Settings,
    folders: Sequence[Path],
    amounts: Amounts,
    out: Path | None,
    *,
    as_json: bool,
) -> int:
    # Before the model is loaded, so that a slip is told at once.
    read = [read_folder(folder) for folder in folders]
    plans = [plan(one.labelled, amounts, tuple(DISTORTIONS)) for one in read]
    async with AsyncExitStack() as stack:
        service = await open_evaluation(settings, Metrics(), stack)
        tally, looks = await _look(service, plans, settings.max_waiting_images)
        for at, reason in (pair for one in read for pair in one.unreadable):
            tally.fail(at, "unreadable", reason)
        if tally.stopped:
            complain(tally.stopped)
            return 130 if tally.interrupted else _NOTHING_DONE
        sets = [
            Measured(
                one.labelled.name,
                _given(one.labelled),
                await service.measure(planned, looks),
            )
            for one, planned in zip(read, plans, strict=True)
        ]
    card, methods = service.embedder.card, service.methods
    skipped = sum(one.skipped for one in read)
    report = Report(card, methods, amounts, sets, tally.failures, skipped)
    return _tell(report, out, as_json=as_json)


async def _look(
    service: EvaluationService, plans: Sequence[Plan], waiting: int
) -> tuple[Tally, Looks]:
    """Look at every picture once; those that are broken are counted."""
    sights = list(dict.fromkeys(one for planned in plans for one in planned.sights()))
    tally = Tally(len(sights), "pictures", ("measured", "not distorted"))
    looks: dict[Sight, Mapping[str, Vector]] = {}

    async def look(sight: Sight) -> None:
        try:
            image = await asyncio.to_thread(Path(sight.path).read_bytes)
            looks[sight] = await service.look(image, sight.distortion)
            tally.outcomes["measured"] += 1
        except OSError as error:
            _fail(tally, sight, "unreadable", error.strerror or str(error))
        except InvalidInputError as error:
            _fail(tally, sight, error.code, error.detail)

    try:
        await work_off(sights, look, tally, workers=min(_AT_ONCE, waiting))
    except* DinoserveError as errors:
        tally.stopped = str(errors.exceptions[0])
    return tally, looks


def _fail(tally: Tally, sight: Sight, code: str, detail: str) -> None:
    # What is broken cannot be distorted either; it is one failure.
    if sight.distortion:
        tally.outcomes["not distorted"] += 1
    else:
        tally.fail(sight.path, code, detail)


def _given(labelled: LabelledSet) -> dict[str, int]:
    parts = labelled._asdict()
    del parts["name"]
    return {name: len(part) for name, part in parts.items()}


def _tell(report: Report, out: Path | None, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(report.as_json()))
    else:
        # Into a file, tables need not fit a terminal.
        console = Console()
        report.show(console if console.is_terminal else Console(width=_FILE_WIDTH))
    try:
        page = report.keep(out) if out else None
    except OSError as error:
        complain(f"{out}: {error.strerror or error}")
        return 1
    if page and not as_json:
        print(page)
    return 1 if report.failures else 0
