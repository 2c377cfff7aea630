"""`DINOSERVE_PATHRAG`: what it may be, and what `dinoserve doctor` tells of it."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from dinoserve.cli.checkup import check_up
from dinoserve.settings import Settings
from pathrag_server import pathrag


def settings(data: Path, pathrag: str) -> Settings:
    # Port 1 is nobody's: no server is asked by accident.
    given = {"data": data, "model": "stub", "port": 1, "pathrag": pathrag}
    return Settings.model_validate(given)


async def test_a_pathrag_that_answers_is_told_with_its_version(tmp_path: Path) -> None:
    with pathrag() as server:
        checks = await check_up(settings(tmp_path / "var", server.url), None)
    [check] = [check for check in checks if check.name == "pathrag"]
    assert (check.ok, check.detail) == (True, "PathRAG 1.0.0")


async def test_a_pathrag_that_fails_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pathrag() as server:
        server.faults = {"*": "500"}
        checks = await check_up(settings(tmp_path / "var", server.url), None)
    [check] = [check for check in checks if not check.ok]
    assert check.detail == "PathRAG answered 500."
    assert "DINOSERVE_PATHRAG" in check.remedy


def test_the_slash_at_the_end_of_the_address_is_no_matter(tmp_path: Path) -> None:
    assert settings(tmp_path, "https://a:5000/").pathrag == "https://a:5000"


@pytest.mark.parametrize(
    "address",
    [
        "pathrag:5000",
        "ftp://pathrag",
        "http://",
        "http://user:secret@pathrag",
        "http://pathrag/?key=1",
        "http://pathrag:99999",
        "http://pathrag:0",
    ],
)
def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(ValidationError, match="pathrag"):
        settings(tmp_path, address)
