"""`dinoserve reembed`: vectors of the loaded recipe for every asset without one."""

from contextlib import AbstractAsyncContextManager
from typing import Annotated

import typer

from dinoserve.cli.client import ApiError, AsJson, Client, Json, Key, Url, connect, run
from dinoserve.cli.config import load_settings
from dinoserve.cli.progress import Tally, work_off

_CHUNK = 16
# One computes while the images of the next are read and decoded.
_CHUNKS_AT_ONCE = 2
_PATIENCE_S = 30.0
_OUTCOMES = ("embedded", "erased meanwhile")


def reembed(
    collection: Annotated[
        str | None, typer.Option(help="Only this one; else every collection.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Embed what the loaded model has not embedded, after a change of model."""
    run(_reembed(connect(load_settings(), url, key), collection, as_json=as_json))


async def _reembed(
    server: AbstractAsyncContextManager[Client],
    collection: str | None,
    *,
    as_json: bool,
) -> int:
    async with server as client:
        tally = await embed_missing(client, collection)
    tally.print(as_json=as_json)
    return tally.exit_code


async def embed_missing(client: Client, collection: str | None) -> Tally:
    """Embed every asset that lacks a vector of the loaded recipe.

    Args:
        client: of the server.
        collection: only this one; None means every collection.

    Raises:
        ApiError: the key or the collection is wrong.
        NoServerError: there is no server; one that goes away later is waited for,
            and ends the work with the reason in the tally.
    """
    ids = await _missing(client, collection)
    client.patience_s = _PATIENCE_S
    client.priority = "bulk"
    tally = Tally(len(ids), "assets", _OUTCOMES)
    chunks = [ids[at : at + _CHUNK] for at in range(0, len(ids), _CHUNK)]

    async def embed(chunk: list[str]) -> None:
        try:
            await _embed(client, chunk)
            tally.outcomes["embedded"] += len(chunk)
        except ApiError as error:
            if error.code == "unauthorized":
                raise
            if len(chunk) == 1:
                _count(tally, chunk[0], error)
                return
            # An answer is whole or an error: alone, the good ones succeed.
            for asset in chunk:
                await embed([asset])

    await work_off(chunks, embed, tally, workers=_CHUNKS_AT_ONCE)
    return tally


async def _missing(client: Client, collection: str | None) -> list[str]:
    models = await client.get("/v1/models")
    recipe = models["data"][0]["recipe"]["id"]
    where: Json = {"limit": 1000}
    if collection is not None:
        where["collection"] = collection
    ids: list[str] = []
    while True:
        page = await client.get("/v1/assets", params=where)
        ids += [asset["id"] for asset in page["assets"] if _lacks(asset, recipe)]
        if page["next_cursor"] is None:
            return ids
        where["cursor"] = page["next_cursor"]


def _lacks(asset: Json, recipe: str) -> bool:
    return all(ref["recipe"] != recipe for ref in asset["embeddings"])


async def _embed(client: Client, ids: list[str]) -> None:
    await client.post("/v1/embeddings", {"input": ids, "encoding_format": "base64"})


def _count(tally: Tally, asset: str, error: ApiError) -> None:
    if error.code == "asset-not-found":
        tally.outcomes["erased meanwhile"] += 1
    else:
        tally.fail(asset, error.code, error.detail)
