"""`dinoserve jobs`: ask a server for long work, watch it, end it, have its result."""

import asyncio
import json
import sys
import uuid
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer
from rich.console import Console

from dinoserve.cli.client import AsJson, Client, Json, Key, Url, complain, connect, run
from dinoserve.cli.config import load_settings
from dinoserve.cli.dead_letters import dead
from dinoserve.cli.job_views import (
    JobBar,
    end_lines,
    fact_table,
    failure_lines,
    job_table,
)
from dinoserve.cli.job_watch import watched
from dinoserve.cli.pages import paged

_INTERRUPTED = 130
_FAILURES = 20

jobs = typer.Typer(help="Long work on a server.", no_args_is_help=True)
jobs.add_typer(dead, name="dead")

JobId = Annotated[str, typer.Argument(help="Of the job: 32 hex digits.")]


@jobs.command()
def submit(  # noqa: PLR0913, PLR0917 - every option is an argument
    kind: Annotated[str, typer.Argument(help="What is to be done, e.g. `embed`.")],
    collection: Annotated[
        str | None, typer.Option(help="Whose assets it is about.")
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=VALUE, as JSON or else as text; NAME=@FILE reads the text of a"
            " file; may be repeated."
        ),
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Two requests with one key are the same job.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay until it is over.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Ask for a job; it is done even if this command or the server ends."""
    body: Json = {"kind": kind, "parameters": read_parameters(parameter or [])}
    if collection is not None:
        body["collection"] = collection
    # With a key of its own a request whose answer was lost is sent again safely.
    once = idempotency_key or uuid.uuid4().hex
    server = connect(load_settings(), url, key)
    run(_submit(server, body, once, watch=watch, as_json=as_json))


@jobs.command("list")
def list_jobs(  # noqa: PLR0913, PLR0917 - every option is an argument
    state: Annotated[
        list[str] | None, typer.Option(help="One of these; may be repeated.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Only of this kind.")] = None,
    collection: Annotated[str | None, typer.Option(help="Only of this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Jobs at most.")] = 50,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Show jobs, newest first."""
    where: Json = {"state": state or [], "kind": kind, "collection": collection}
    where = {name: value for name, value in where.items() if value is not None}
    run(_list(connect(load_settings(), url, key), where, limit, as_json=as_json))


@jobs.command()
def show(job: JobId, as_json: AsJson = False, url: Url = None, key: Key = None) -> None:
    """Show one job, and the first items that failed."""
    run(_show(connect(load_settings(), url, key), job, as_json=as_json))


@jobs.command()
def watch(
    job: JobId, as_json: AsJson = False, url: Url = None, key: Key = None
) -> None:
    """Follow a job until it is over; Ctrl-C ends only the watching."""
    run(_watch(connect(load_settings(), url, key), job, as_json=as_json))


@jobs.command()
def cancel(
    job: JobId, as_json: AsJson = False, url: Url = None, key: Key = None
) -> None:
    """End a job; who works on it stops within a second."""
    run(_change(connect(load_settings(), url, key), job, "cancel", as_json=as_json))


@jobs.command()
def retry(
    job: JobId, as_json: AsJson = False, url: Url = None, key: Key = None
) -> None:
    """Try the items again that failed."""
    run(_change(connect(load_settings(), url, key), job, "retry", as_json=as_json))


@jobs.command()
def result(
    job: JobId,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File; else standard output.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Get what a job made."""
    if as_json and output is None:
        raise typer.BadParameter("it goes with --output", param_hint="--json")
    run(_result(connect(load_settings(), url, key), job, output, as_json=as_json))


def read_parameters(texts: Sequence[str]) -> Json:
    """Return what NAME=VALUE texts say; values are JSON, or else text.

    Raises:
        typer.BadParameter: no such pair, a name twice, or a file that cannot be read.
    """
    found: Json = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise _wrong(f"{text[:80]!r} is not NAME=VALUE")
        if name in found:
            raise _wrong(f"{name} is given twice")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    try:
        if text.startswith("@"):
            return Path(text[1:]).read_text("utf-8")
        return json.loads(text)
    except (OSError, UnicodeError) as error:
        raise _wrong(f"{text[1:]} cannot be read: {error}") from error
    except ValueError:
        return text


def _wrong(told: str) -> typer.BadParameter:
    return typer.BadParameter(told, param_hint="--parameter")


async def _submit(
    server: AbstractAsyncContextManager[Client],
    body: Json,
    once: str,
    *,
    watch: bool,
    as_json: bool,
) -> int:
    async with server as client:
        headers = {"idempotency-key": once}
        answer = await client.send("POST", "/v1/jobs", json=body, headers=headers)
        job: Json = answer.json()
        if watch:
            return await _follow(client, job["id"], as_json=as_json)
    _print(job, as_json=as_json)
    return 0


async def _list(
    server: AbstractAsyncContextManager[Client],
    where: Json,
    limit: int,
    *,
    as_json: bool,
) -> int:
    async with server as client:
        pages = paged(client, "/v1/jobs", "jobs", where, limit)
        found = [job async for job in pages]
    if as_json:
        print(json.dumps({"jobs": found}))
    else:
        Console().print(job_table(found))
    return 0


async def _show(
    server: AbstractAsyncContextManager[Client], job_id: str, *, as_json: bool
) -> int:
    async with server as client:
        job = await client.get(f"/v1/jobs/{job_id}")
        path, some = f"/v1/jobs/{job_id}/failures", _FAILURES + 1
        failures = [one async for one in paged(client, path, "failures", {}, some)]
    if as_json:
        print(json.dumps({**job, "failures": failures[:_FAILURES]}))
        return 0
    Console().print(fact_table(job))
    is_all = len(failures) <= _FAILURES
    for line in failure_lines(failures[:_FAILURES], is_all=is_all):
        print(line)
    return 0


async def _watch(
    server: AbstractAsyncContextManager[Client], job_id: str, *, as_json: bool
) -> int:
    async with server as client:
        return await _follow(client, job_id, as_json=as_json)


async def _follow(client: Client, job_id: str, *, as_json: bool) -> int:
    """Return 0 if the job succeeded, 1 if it ended otherwise, 130 after Ctrl-C."""
    try:
        with JobBar() as bar:
            job = await watched(client, job_id, bar.show)
    except asyncio.CancelledError:
        complain(f"job {job_id} goes on: dinoserve jobs watch {job_id}")
        return _INTERRUPTED
    _print(job, as_json=as_json)
    return 0 if job["state"] == "succeeded" else 1


async def _change(
    server: AbstractAsyncContextManager[Client],
    job_id: str,
    what: str,
    *,
    as_json: bool,
) -> int:
    async with server as client:
        job = await client.post(f"/v1/jobs/{job_id}/{what}", {})
    _print(job, as_json=as_json)
    return 0


async def _result(
    server: AbstractAsyncContextManager[Client],
    job_id: str,
    output: Path | None,
    *,
    as_json: bool,
) -> int:
    async with server as client:
        if output is None:
            await _download(client, job_id, sys.stdout.buffer)
            return 0
        # What is there already stays until the new file is whole.
        part = output.with_name(f".{output.name}.{uuid.uuid4().hex[:8]}")
        try:
            with part.open("xb") as file:
                size = await _download(client, job_id, file)
            part.replace(output)
        except OSError as error:
            raise typer.BadParameter(str(error), param_hint="--output") from error
        finally:
            part.unlink(missing_ok=True)
    told = {"file": str(output), "bytes": size}
    print(json.dumps(told) if as_json else f"{output}: {size} bytes")
    return 0


async def _download(client: Client, job_id: str, file: BinaryIO) -> int:
    """Write the result to the file; return how many bytes it has."""
    size = 0
    async with client.stream(f"/v1/jobs/{job_id}/result") as answer:
        async for piece in answer.aiter_bytes():
            await asyncio.to_thread(file.write, piece)
            size += len(piece)
    return size


def _print(job: Json, *, as_json: bool) -> None:
    print(json.dumps(job) if as_json else "\n".join(end_lines(job)))
