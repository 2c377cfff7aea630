"""`dinoserve jobs dead`: chunks that were given up, and what becomes of them."""

import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated

import typer
from rich.console import Console

from dinoserve.cli.client import AsJson, Client, Json, Key, Url, connect, printable, run
from dinoserve.cli.config import load_settings
from dinoserve.cli.job_views import fact_table, letter_table
from dinoserve.cli.pages import paged

dead = typer.Typer(help="Chunks of jobs that were given up.", no_args_is_help=True)

Ids = Annotated[
    list[str] | None, typer.Argument(help="Dead letters: JOB.CHUNK as `list` tells.")
]
EveryOne = Annotated[bool, typer.Option("--all", help="All of them.")]
Kind = Annotated[str | None, typer.Option(help="Only of jobs of this kind.")]


@dead.command("list")
def list_letters(
    kind: Kind = None,
    limit: Annotated[int, typer.Option(min=1, help="Dead letters at most.")] = 50,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Show dead letters, by job and chunk."""
    server = connect(load_settings(), url, key)
    run(_list(server, kind, limit, as_json=as_json))


@dead.command()
def show(
    letter: Annotated[str, typer.Argument(help="JOB.CHUNK, as `list` tells.")],
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Show one dead letter with what it was to do."""
    run(_show(connect(load_settings(), url, key), letter, as_json=as_json))


def _changing(what: str) -> Callable[..., None]:
    """Return the command that asks the server for this change."""

    def change(
        letters: Ids = None,
        every: EveryOne = False,
        kind: Kind = None,
        as_json: AsJson = False,
        url: Url = None,
        key: Key = None,
    ) -> None:
        body = _meant(letters, kind, every=every)
        server = connect(load_settings(), url, key)
        run(_change(server, what, body, as_json=as_json))

    return change


for _what, _help in (
    ("requeue", "Try dead letters anew; their jobs go on."),
    ("discard", "Give the items of dead letters up for good."),
):
    dead.command(_what, help=_help)(_changing(_what))


def _meant(letters: list[str] | None, kind: str | None, *, every: bool) -> Json:
    if bool(letters) == every:
        raise typer.BadParameter("name some, or give --all", param_hint="LETTERS")
    if letters and kind is not None:
        raise typer.BadParameter("it goes with --all", param_hint="--kind")
    if letters:
        return {"ids": letters}
    return {"all": True} if kind is None else {"all": True, "kind": kind}


async def _list(
    server: AbstractAsyncContextManager[Client],
    kind: str | None,
    limit: int,
    *,
    as_json: bool,
) -> int:
    where = {} if kind is None else {"kind": kind}
    async with server as client:
        pages = paged(client, "/v1/jobs/dead", "dead_letters", where, limit)
        found = [letter async for letter in pages]
    if as_json:
        print(json.dumps({"dead_letters": found}))
    else:
        Console().print(letter_table(found))
    return 0


async def _show(
    server: AbstractAsyncContextManager[Client], letter: str, *, as_json: bool
) -> int:
    async with server as client:
        found = await client.get(f"/v1/jobs/dead/{letter}")
    if as_json:
        print(json.dumps(found))
    else:
        Console().print(fact_table(found))
    return 0


async def _change(
    server: AbstractAsyncContextManager[Client],
    what: str,
    body: Json,
    *,
    as_json: bool,
) -> int:
    """Return 0 if all that were meant changed, else 1."""
    async with server as client:
        told = await client.post(f"/v1/jobs/dead/{what}", body)
    if as_json:
        print(json.dumps(told))
    else:
        print(f"{told['changed']} changed, {told['refused']} refused")
        for error in told["errors"]:
            print(printable(f"  {error['field']}: {error['detail']}"))
    return 1 if told["refused"] else 0
