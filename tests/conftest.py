"""What every test shares: a clean environment, and an honest list of omissions."""

import logging
import os
from collections.abc import Generator
from functools import cache

import pytest

from needs import NEEDS

# By name: imported here, it would import NumPy before the line on threads below.
pytest_plugins = ["production"]

_NOT_RUN = "not run: "

# Test processes share few cores: PyTorch's own threads would only get in their way.
# Before any test imports it, and inherited by the servers that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@cache
def _is_met(name: str) -> bool:
    return NEEDS[name].is_met()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        name = str(marker.args[0])
        if _is_met(name):
            continue
        need = NEEDS[name]
        reason = f"{_NOT_RUN}needs {name}: {need.remedy}"
        if need.is_required_in_ci and os.environ.get("DINOSERVE_TEST_REQUIRE"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    missed: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = str(report.longrepr[2]) if report.longrepr else "unknown"
        missed[reason] = missed.get(reason, 0) + 1
    if missed:
        terminalreporter.section("not run on this machine")
        for reason, count in sorted(missed.items()):
            terminalreporter.line(f"{count:4} {reason.removeprefix('Skipped: ')}")


@pytest.fixture(autouse=True)
def own_log_level() -> Generator[None]:
    """A command that sets the level of the log sets it for its own test only."""
    level = logging.root.level
    yield
    logging.root.setLevel(level)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine, and no `.env`, reaches a test."""
    for name in list(os.environ):
        if name.startswith(("DINOSERVE_", "HF_")) and "_TEST_" not in name:
            monkeypatch.delenv(name)
