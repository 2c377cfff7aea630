"""`dinoserve models`: what is loaded, and what vectors are stored."""

import json
from contextlib import AbstractAsyncContextManager

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dinoserve.cli.client import AsJson, Client, Json, Key, Url, connect, printable, run
from dinoserve.cli.config import load_settings


def models(as_json: AsJson = False, url: Url = None, key: Key = None) -> None:
    """Show the loaded model, and the recipes that vectors are stored under."""
    run(_models(connect(load_settings(), url, key), as_json=as_json))


async def _models(server: AbstractAsyncContextManager[Client], *, as_json: bool) -> int:
    async with server as client:
        answer = await client.get("/v1/models")
    if as_json:
        print(json.dumps(answer))
        return 0
    console = Console()
    for model in answer["data"]:
        console.print(_card(model))
    console.print(_recipes(answer["recipes"]))
    return 0


def _card(model: Json) -> Table:
    facts = {
        "model": f"{model['id']}@{model['recipe']['revision']}",
        "kind": f"{model['kind']}, {model['parameters']:,} parameters",
        "runs on": f"{model['engine']} on {model['device']}, {model['precision']}",
        "recipe": model["recipe"]["id"],
        "queue": f"{model['queue']['waiting']} of {model['queue']['capacity']} images",
        "licence": model["licence"],
        "note": model["note"],
    }
    table = Table(show_header=False, title="Loaded", title_justify="left")
    for name, fact in facts.items():
        table.add_row(name, Text(printable(fact)))
    return table


def _recipes(recipes: list[Json]) -> Table:
    table = Table(
        "recipe", "model", "preprocessing", "numbers", "vectors", "loaded",
        title="Recipes", title_justify="left",
    )  # fmt: skip
    for recipe in recipes:
        table.add_row(
            recipe["id"],
            Text(printable(recipe["model"])),
            Text(printable(recipe["preprocessing"])),
            str(recipe["dimension"]),
            str(recipe["embeddings"]),
            "yes" if recipe["loaded"] else "no: reembed moves them",
        )
    return table
