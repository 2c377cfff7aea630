"""The documents against the code: nothing missing, nothing invented, no dead link."""

import json
import os
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
import typer.main
from fastapi.routing import APIRoute
from pydantic import AliasChoices
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.testing import CliRunner

from dinoserve.cli import app
from dinoserve.errors import DinoserveError, StartUpError
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.web import routes
from dinoserve.web.problems import INTERNAL, ROUTING, status_of
from in_process import make_app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
# Declared of every route, so the page tells of them once.
_EVERYWHERE = {
    "invalid-input",
    "body-too-large",
    "unauthorized",
    "foreign-caller",
    "link-refused",
    "overloaded",
    "invalid-header",
    "deadline-exceeded",
}


def _markdown() -> list[Path]:
    tops = [top for top in ROOT.iterdir() if not top.name.startswith(".")]
    below = [path for top in tops if top.is_dir() for path in top.rglob("*.md")]
    return sorted([top for top in tops if top.suffix == ".md"] + below)


def _prose(path: Path) -> str:
    """The text without its code blocks."""
    return _FENCE.sub("", path.read_text("utf-8"))


def _headings(path: Path) -> list[str]:
    return _HEADING.findall(_prose(path))


def _sections(path: Path) -> dict[str, str]:
    """Text by heading, up to the next heading of any depth; code blocks left out."""
    parts = _HEADING.split(_prose(path))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _anchors(path: Path) -> set[str]:
    """What GitHub makes of the headings."""
    plain = [re.sub(r"\[([^]]*)]\([^)]*\)", r"\1", text) for text in _headings(path)]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in plain}


def _command_output(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments])
    assert result.exit_code == 0
    return result.output


def _variables() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        if isinstance(field.validation_alias, AliasChoices):
            yield from (str(choice) for choice in field.validation_alias.choices)
        else:
            yield f"DINOSERVE_{name.upper()}"


def _operations() -> Iterator[str]:
    for module in pkgutil.iter_modules(routes.__path__, f"{routes.__name__}."):
        for route in import_module(module.name).router.routes:
            if isinstance(route, APIRoute) and route.methods:
                path = route.path.replace(":path}", "}")
                yield from (f"{method} {path}" for method in route.methods)


def _errors(root: type[DinoserveError]) -> Iterator[type[DinoserveError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from _errors(kind)


def _statuses() -> dict[str, str]:
    """Status by code; `none` for what never reaches a caller."""
    never = {kind.code for kind in (StartUpError, *_errors(StartUpError))}
    return (
        {kind.code: str(status_of(kind)[0]) for kind in _errors(DinoserveError)}
        | dict.fromkeys(never, "none")
        | {code: str(status) for status, (code, _) in ROUTING.items()}
        | {INTERNAL[1]: str(INTERNAL[0])}
    )


def _commands() -> Iterator[tuple[str, TyperCommand]]:
    """Every command by its name, those of groups as `group command`."""
    yield from _below(typer.main.get_command(app), ())


def _below(
    command: object, names: tuple[str, ...]
) -> Iterator[tuple[str, TyperCommand]]:
    if isinstance(command, TyperGroup):
        for name, one in command.commands.items():
            yield from _below(one, (*names, name))
        return
    assert isinstance(command, TyperCommand)
    yield " ".join(names), command


def _options(command: TyperCommand) -> set[str]:
    options = (param for param in command.params if isinstance(param, TyperOption))
    return {name for option in options for name in option.opts}


def test_every_setting_has_a_heading_and_no_heading_invents_one() -> None:
    headings = [name for name in _headings(DOCS / "settings.md") if name.isupper()]
    assert sorted(headings) == sorted(_variables())


def test_the_documented_defaults_are_the_real_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    real = {
        name: row["value"]
        for name, row in json.loads(_command_output("config", "--json")).items()
    }
    documented = {
        name: match[1] or ""
        for name, text in _sections(DOCS / "settings.md").items()
        if name in real
        and (match := re.search(r"^Default: (?:`(.+)`|none)$", text, re.MULTILINE))
    }
    assert documented == real


def test_the_example_of_env_is_what_the_command_prints() -> None:
    example = (ROOT / ".env.example").read_text("utf-8")
    assert example == _command_output("config", "--env")


def test_every_route_has_a_heading_and_no_heading_invents_one() -> None:
    headings = _headings(DOCS / "api.md")
    documented = [text for text in headings if re.match(r"[A-Z]+ /", text)]
    assert sorted(documented) == sorted(_operations())


def test_every_route_names_the_problems_it_declares() -> None:
    declared = {
        f"{method.upper()} {path}": set(
            re.findall(r"`([a-z-]+)`", json.dumps(operation["responses"]))
        )
        - _EVERYWHERE
        for path, item in make_app().openapi()["paths"].items()
        for method, operation in item.items()
    }
    sections = _sections(DOCS / "api.md")
    documented = {
        route: set(re.findall(r"problems\.md#([a-z-]+)", sections.get(route, "")))
        - _EVERYWHERE
        for route in declared
    }
    assert documented == declared


def test_every_error_code_has_a_heading_and_its_status() -> None:
    documented = {
        code: match[1] if (match := re.match(r"\s*Status: (\w+)\.", text)) else ""
        for code, text in _sections(DOCS / "problems.md").items()
        if code != "Problems"
    }
    assert documented == _statuses()


def test_every_command_has_a_heading_and_no_heading_invents_one() -> None:
    _title, *headings = _headings(DOCS / "cli.md")
    assert sorted(headings) == sorted(name for name, _ in _commands())


def test_every_option_is_told_of_with_its_command_or_as_shared() -> None:
    shared, *sections = _sections(DOCS / "cli.md").items()
    told = dict(sections)
    untold = {
        (name, option)
        for name, command in _commands()
        for option in _options(command)
        if f"`{option}`" not in shared[1] + told.get(name, "")
    }
    assert untold == set()


def test_no_option_is_told_of_that_does_not_exist() -> None:
    told = set(re.findall(r"(?<!\S)`(--[a-z-]+)", _prose(DOCS / "cli.md")))
    real = {option for _, command in _commands() for option in _options(command)}
    assert told - real <= {"--help"}


def test_every_figure_is_in_the_operations_guide_and_none_is_invented() -> None:
    told = re.findall(
        r"\bdinoserve_[a-z_]+", (DOCS / "operations.md").read_text("utf-8")
    )
    shown = re.findall(r"^# TYPE (\S+)", Metrics().render().decode(), re.MULTILINE)
    suffix = r"_(?:total|bucket|sum|count|created)$"
    assert {re.sub(suffix, "", name) for name in told} == {
        re.sub(suffix, "", name) for name in shown
    }


def test_the_architecture_draws_only_modules_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    drawing = re.search(
        r"^```text\nsrc/dinoserve/\n(.+?)^```", text, re.MULTILINE | re.DOTALL
    )
    assert drawing
    drawn = re.findall(r"^  (\w+(?:\.py|/))", drawing[1], re.MULTILINE)
    package = ROOT / "src" / "dinoserve"
    assert drawn
    assert [name for name in drawn if not (package / name).exists()] == []


def test_the_map_leads_to_every_document() -> None:
    linked = set(_LINK.findall(_prose(DOCS / "index.md")))
    pages = {page.name for page in DOCS.glob("*.md")} - {"index.md"}
    assert pages <= linked


@pytest.mark.parametrize("path", _markdown(), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    dead: list[str] = []
    for link in _LINK.findall(_prose(path)):
        place, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", place):
            continue
        target = Path(os.path.normpath(path.parent / place)) if place else path
        is_there = target.exists() and (not anchor or anchor in _anchors(target))
        dead += [] if is_there else [link]
    assert dead == []
