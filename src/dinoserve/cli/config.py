"""Settings on the command line: load them or say what is wrong, and show them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, cast, get_args, get_origin

import typer
from pydantic import SecretStr, ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dinoserve.settings import Settings, unknown_variables

_PREFIX = "DINOSERVE_"
_HIDDEN = "**********"
_HEAD = (
    "# Every setting of dinoserve with its default. Copy this file to .env and take\n"
    "# the # off the lines you change. The environment goes before .env.\n"
    "# Written by: dinoserve config --env\n"
)


def load_settings(**overrides: Any) -> Settings:
    """Return the settings of the environment and `.env`.

    Args:
        overrides: settings by name that go before both.

    Raises:
        typer.Exit: 2, after one line on standard error for each wrong setting.
    """
    for name in unknown_variables():
        typer.echo(f"dinoserve: {name} is no setting; see docs/settings.md", err=True)
    try:
        return Settings(**overrides)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)
        _refuse(*(f"{_variable(item['loc'])}: {item['msg']}" for item in wrong))
    except (OSError, UnicodeError) as error:
        _refuse(f".env cannot be read: {error}")


def config(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_env: Annotated[
        bool, typer.Option("--env", help="Print a complete .env.example.")
    ] = False,
) -> None:
    """Show the settings in effect; secrets stay hidden."""
    if as_env:
        print(env_example(), end="")
        return
    rows = list(_rows(load_settings()))
    if as_json:
        print(json.dumps({name: _row(*row) for name, *row in rows}, indent=2))
        return
    table = Table("setting", "value", "from")
    for name, value, source in rows:
        table.add_row(name, Text(value), source)
    Console(soft_wrap=True).print(table)


def env_example() -> str:
    """Return the text of `.env.example`: every setting, commented out."""
    return _HEAD + "".join(_lines())


def _refuse(*complaints: str) -> NoReturn:
    for complaint in complaints:
        typer.echo(f"dinoserve: {complaint}", err=True)
    raise typer.Exit(2)


def _variable(loc: tuple[int | str, ...]) -> str:
    # An alias, as of the Hugging Face token, is a variable's name already.
    return _PREFIX + str(loc[0]).upper().removeprefix(_PREFIX) if loc else "settings"


def _rows(settings: Settings) -> Iterator[tuple[str, str, str]]:
    for name in Settings.model_fields:
        source = "set" if name in settings.model_fields_set else "default"
        yield _variable((name,)), _shown(getattr(settings, name)), source


def _row(value: str, source: str) -> dict[str, str]:
    return {"value": value, "from": source}


def _shown(value: object) -> str:
    """Return a setting's value as it would stand in `.env`, secrets hidden."""
    match value:
        case None | ():
            return ""
        case SecretStr():
            return _HIDDEN
        case tuple():
            many = cast("tuple[object, ...]", value)
            # One mark, however many keys: their number is nobody's business either.
            is_open = isinstance(many[0], Path)
            return ",".join(map(str, many)) if is_open else _HIDDEN
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def _lines() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        choices = ""
        if get_origin(field.annotation) is Literal:
            choices = " One of: " + ", ".join(map(str, get_args(field.annotation)))
        yield f"\n# {field.description}{choices}\n"
        yield f"# {_variable((name,))}={_shown(field.default)}\n"
