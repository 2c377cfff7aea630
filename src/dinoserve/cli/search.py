"""`dinoserve search`: the images most similar to one."""

import asyncio
import base64
import json
import re
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dinoserve.cli.client import AsJson, Client, Json, Key, Url, connect, printable, run
from dinoserve.cli.config import load_settings
from dinoserve.domain.assets import ASSET_ID_PATTERN


def search(  # noqa: PLR0913, PLR0917 - every option is an argument
    image: Annotated[
        str,
        typer.Argument(
            help="An image file, or the id of an asset (a file of that name: ./ID)."
        ),
    ],
    k: Annotated[int, typer.Option(min=1, max=1000, help="Hits at most.")] = 10,
    collection: Annotated[str, typer.Option(help="Where to look.")] = "default",
    tag: Annotated[
        list[str] | None, typer.Option(help="On every hit; may be repeated.")
    ] = None,
    min_score: Annotated[
        float, typer.Option(min=-1, max=1, help="Lowest cosine of a hit.")
    ] = -1.0,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Show the stored images most similar to a file or an asset."""
    body: Json = {
        "k": k,
        "collection": collection,
        "filter": {"tags": tag or []},
        "min_score": min_score,
    }
    server = connect(load_settings(), url, key)
    run(_search(server, image, body, as_json=as_json))


async def _search(
    server: AbstractAsyncContextManager[Client],
    image: str,
    body: Json,
    *,
    as_json: bool,
) -> int:
    query = await asyncio.to_thread(_query, image)
    async with server as client:
        answer = await client.post("/v1/search", {"query": query, **body})
    if as_json:
        print(json.dumps(answer))
    elif answer["hits"]:
        Console().print(_table(answer["hits"]))
    else:
        print("Nothing found.")
    return 0


def _query(image: str) -> Json:
    if re.fullmatch(ASSET_ID_PATTERN, image):
        return {"asset": image}
    try:
        data = Path(image).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise typer.BadParameter(
            f"neither an asset id nor a readable file: {reason}", param_hint="IMAGE"
        ) from error
    payload = base64.b64encode(data).decode()
    return {"image": f"data:application/octet-stream;base64,{payload}"}


def _table(hits: list[Json]) -> Table:
    table = Table("score", "asset", "filename", "size", "tags")
    for hit in hits:
        asset = hit["asset"]
        table.add_row(
            f"{hit['score']:.4f}",
            Text(asset["id"], no_wrap=True, overflow="fold"),
            Text(printable(asset["filename"] or "")),
            f"{asset['width']} x {asset['height']}",
            Text(printable(", ".join(asset["tags"]))),
        )
    return table
