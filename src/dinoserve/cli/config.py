"""Settings on the command line: load them or say what is wrong, and show them."""

import sys
from typing import NoReturn

import typer
from pydantic import ValidationError

from dinoserve.settings import Settings


def load_settings() -> Settings:
    """Return the settings of the environment and `.env`.

    Raises:
        typer.Exit: 2, after one line on standard error for each wrong setting.
    """
    try:
        return Settings()
    except ValidationError as error:
        _refuse(error)


def _refuse(error: ValidationError) -> NoReturn:
    for wrong in error.errors(include_input=False, include_url=False):
        name = str(wrong["loc"][0]).upper() if wrong["loc"] else "settings"
        name = name if name.startswith("DINOSERVE_") else f"DINOSERVE_{name}"
        sys.stderr.write(f"dinoserve: {name}: {wrong['msg']}\n")
    raise typer.Exit(2)
