"""`python -m dinoserve` is the `dinoserve` command."""

from dinoserve.cli import app

app()
