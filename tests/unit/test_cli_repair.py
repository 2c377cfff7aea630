"""`dinoserve doctor --objects` and `--repair`: what they find, remove and spare."""

import asyncio
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dinoserve.adapters.data_folder import claim_folder
from dinoserve.cli import app
from dinoserve.services.upload import Upload
from dinoserve.settings import Settings
from dinoserve.stores import open_objects
from dinoserve.telemetry import Metrics
from dinoserve.wiring import open_services
from odd_files import photo

ORPHAN = b"nobody's bytes"


def doctor(data: Path, *options: str, **env: str) -> Result:
    env = {"DINOSERVE_DATA": os.fspath(data), "DINOSERVE_MODEL": "stub"} | env
    return CliRunner().invoke(app, ["doctor", *options], env=env)


def told(result: Result) -> dict[str, Any]:
    return json.loads(result.stdout)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def upload(data: Path, seeds: Sequence[int]) -> list[str]:
    """Store these pictures as a server would; return the ids."""

    async def work() -> list[str]:
        settings = Settings.model_validate({"data": data, "model": "stub"})
        async with open_services(settings, Metrics()) as services:
            given = [Upload(photo(seed, 64, 48), filename="a.jpg") for seed in seeds]
            return [(await services.assets.upload(each)).asset.id for each in given]

    return asyncio.run(work())


def put(data: Path, *objects: bytes) -> None:
    """Store bytes that no record tells of."""

    async def work() -> None:
        store = await open_objects(Settings.model_validate({"data": data}))
        for each in objects:
            await store.put(sha256(each), each)

    asyncio.run(work())


def lose(data: Path, seed: int) -> None:
    next((data / "objects").rglob(sha256(photo(seed, 64, 48)))).unlink()


def originals(data: Path) -> set[str]:
    return {path.name for path in (data / "objects").rglob("*") if path.is_file()}


def test_where_all_is_well_nothing_is_found(tmp_path: Path) -> None:
    upload(tmp_path, range(3))
    result = doctor(tmp_path, "--objects")
    assert result.exit_code == 0
    assert "originals without a record: 0 of 3 originals" in result.stdout
    assert "records without their original: 0 of 3 records" in result.stdout


def test_looking_names_what_is_astray_and_changes_nothing(tmp_path: Path) -> None:
    keys = upload(tmp_path, range(3))
    put(tmp_path, ORPHAN)
    lose(tmp_path, 1)
    before = originals(tmp_path)
    result = doctor(tmp_path, "--objects", "--json")
    assert result.exit_code == 1
    found = told(result)
    assert found["orphans"]["originals"] == [sha256(ORPHAN)]
    assert [lost["id"] for lost in found["lost"]] == [keys[1]]
    assert found["looked_at"]["records"] == 3
    assert found["repaired"] is None
    assert originals(tmp_path) == before
    assert told(doctor(tmp_path, "--objects", "--json")) == found


def test_repairing_leaves_every_record_with_its_bytes(tmp_path: Path) -> None:
    keys = upload(tmp_path, range(3))
    put(tmp_path, ORPHAN)
    lose(tmp_path, 1)
    result = doctor(tmp_path, "--repair")
    assert result.exit_code == 0, result.output
    assert f"erased {keys[1]}: 'a.jpg', " in result.stdout
    assert "Upload the same bytes again" in result.stdout
    assert "1 removed, 1 erased, 0 spared, 0 failed" in result.stdout
    assert originals(tmp_path) == {sha256(photo(seed, 64, 48)) for seed in (0, 2)}
    assert doctor(tmp_path, "--objects").exit_code == 0


def test_an_erased_record_comes_back_with_its_bytes(tmp_path: Path) -> None:
    keys = upload(tmp_path, [1])
    lose(tmp_path, 1)
    assert told(doctor(tmp_path, "--repair", "--json"))["repaired"]["erased"] == 1
    assert upload(tmp_path, [1]) == keys
    assert doctor(tmp_path, "--objects").exit_code == 0


def test_only_the_first_twenty_are_named_to_people(tmp_path: Path) -> None:
    upload(tmp_path, [1])
    put(tmp_path, *(b"%d" % number for number in range(23)))
    result = doctor(tmp_path, "--objects")
    assert "  … and 3 more; --json names all" in result.stdout
    assert sum(line.startswith("  ") for line in result.stdout.splitlines()) == 21


@pytest.mark.parametrize("astray", ["originals", "records"])
def test_where_most_is_astray_nothing_is_repaired_unforced(
    tmp_path: Path, astray: str
) -> None:
    if astray == "originals":
        upload(tmp_path, [1])
        put(tmp_path, *(b"%d" % number for number in range(11)))
    else:
        upload(tmp_path, range(11))
        for seed in range(11):
            lose(tmp_path, seed)
    before = originals(tmp_path)
    refused = doctor(tmp_path, "--repair")
    assert refused.exit_code == 1
    assert "Nothing was removed" in refused.stderr
    assert originals(tmp_path) == before
    forced = doctor(tmp_path, "--repair", "--force", "--json")
    assert forced.exit_code == 0
    assert doctor(tmp_path, "--objects").exit_code == 0


def test_a_folder_that_a_server_holds_is_left_alone(tmp_path: Path) -> None:
    upload(tmp_path, [1])
    put(tmp_path, ORPHAN)
    with claim_folder(tmp_path):
        result = doctor(tmp_path, "--repair")
    assert result.exit_code == 2
    assert "in use by process" in result.stderr
    assert sha256(ORPHAN) in originals(tmp_path)


@pytest.mark.parametrize("missing", ["documents.sqlite", "objects"])
def test_stores_that_are_not_there_are_told_and_not_made(
    tmp_path: Path, missing: str
) -> None:
    upload(tmp_path, [1])
    (tmp_path / missing).rename(tmp_path / "elsewhere")
    result = doctor(tmp_path, "--repair")
    assert result.exit_code == 2
    assert f"There is no {missing} in" in result.stderr
    assert not (tmp_path / missing).exists()


def test_what_is_in_memory_cannot_be_looked_at(tmp_path: Path) -> None:
    result = doctor(tmp_path, "--objects", DINOSERVE_OBJECTS="memory:")
    assert result.exit_code == 2
    assert "memory" in result.stderr


@pytest.mark.parametrize(
    "options",
    [["--force"], ["--force", "--objects"], ["--repair", "--url", "http://a"]],
)
def test_options_that_would_be_passed_over_are_refused(
    tmp_path: Path, options: list[str]
) -> None:
    assert doctor(tmp_path, *options).exit_code == 2
