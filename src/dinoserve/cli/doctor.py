"""`dinoserve doctor`: what is wrong on this machine, and what to do about it."""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dinoserve.cli.checkup import Check, check_up
from dinoserve.cli.client import AsJson, Url, printable, run
from dinoserve.cli.config import load_settings
from dinoserve.cli.repair import look
from dinoserve.telemetry import configure_logging


def doctor(
    as_json: AsJson = False,
    url: Url = None,
    objects: Annotated[
        bool, typer.Option("--objects", help="Compare originals with records instead.")
    ] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="The same, and remove what is astray.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Repair even where most is astray.")
    ] = False,
) -> None:
    """Try everything the server stands on; with --url: ask that server."""
    if force and not repair:
        raise typer.BadParameter("it goes with --repair", param_hint="--force")
    if url is not None and (objects or repair):
        raise typer.BadParameter(
            "--objects and --repair work on the stores of the settings",
            param_hint="--url",
        )
    settings = load_settings()
    configure_logging("error")
    if objects or repair:
        run(look(settings, repair=repair, force=force, as_json=as_json))
    checks = asyncio.run(check_up(settings, url))
    if as_json:
        print(json.dumps([asdict(check) for check in checks]))
    else:
        Console().print(_table(checks))
    raise typer.Exit(0 if all(check.ok for check in checks) else 1)


def _table(checks: list[Check]) -> Table:
    table = Table("", "what", "found", "ms", "what to do")
    for check in checks:
        mark = "[green]ok[/]" if check.ok else "[red]wrong[/]"
        found = Text(printable(check.detail))
        table.add_row(mark, check.name, found, f"{check.took_ms:.1f}", check.remedy)
    return table
