"""The `dinoserve` command: serve, and talk to a server."""

import typer

from dinoserve import __version__
from dinoserve.cli.config import config
from dinoserve.cli.copy import copy
from dinoserve.cli.doctor import doctor
from dinoserve.cli.eval import evaluate
from dinoserve.cli.graph import graph
from dinoserve.cli.index import index
from dinoserve.cli.ingest import ingest
from dinoserve.cli.jobs import jobs
from dinoserve.cli.migrate import migrate
from dinoserve.cli.models import models
from dinoserve.cli.reembed import reembed
from dinoserve.cli.search import search
from dinoserve.cli.serve import serve
from dinoserve.cli.worker import worker

app = typer.Typer(
    help="Self-hosted service for DINOv3 visual features.",
    no_args_is_help=True,
    # Local variables may hold secrets; a traceback must not show them.
    pretty_exceptions_show_locals=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False,
        "--version",
        callback=_show_version,
        is_eager=True,
        help="Print the version.",
    ),
) -> None:
    del version


for command in (
    serve,
    worker,
    ingest,
    search,
    models,
    reembed,
    doctor,
    migrate,
    copy,
    config,
):
    app.command()(command)
app.command("eval")(evaluate)
app.add_typer(index, name="index")
app.add_typer(graph, name="graph")
app.add_typer(jobs, name="jobs")
