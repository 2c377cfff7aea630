"""`dinoserve migrate`: bring the database up to date, or only say what that is."""

import json
from typing import Annotated

import typer

from dinoserve.cli.client import AsJson, printable, run
from dinoserve.cli.config import load_settings
from dinoserve.settings import Settings
from dinoserve.stores import migrate_documents, survey_documents


def migrate(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the database of the settings up to date, as a start would."""
    run(_migrate(load_settings(), dry_run=dry_run, as_json=as_json))


async def _migrate(settings: Settings, *, dry_run: bool, as_json: bool) -> int:
    before = await survey_documents(settings)
    if not as_json:
        todo = before.pending or ["nothing to do"]
        print(printable(before.about), *map(printable, todo), sep="\n  ")
    after = before
    if before.pending and not dry_run:
        await migrate_documents(settings)
        after = await survey_documents(settings)
    if as_json:
        print(json.dumps({**before._asdict(), "after": after.about}))
    elif after is not before:
        print(printable(after.about))
    return 0
