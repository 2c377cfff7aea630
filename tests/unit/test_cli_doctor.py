"""`dinoserve doctor`: what it tries, says and leaves behind."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient
from typer.testing import CliRunner

from dinoserve.adapters.data_folder import claim_folder
from dinoserve.adapters.mongo import MongoDocuments
from dinoserve.cli import app
from dinoserve.cli.checkup import Check, check_up
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import open_services
from mongo_server import MongoServer


def settings_on(data: Path, **changes: object) -> Settings:
    # Port 1 is nobody's: no server is asked by accident.
    return Settings.model_validate(
        {"data": data, "model": "stub", "port": 1, **changes}
    )


async def checks_of(settings: Settings) -> Mapping[str, Check]:
    return {check.name: check for check in await check_up(settings, None)}


async def used_folder(root: Path) -> Path:
    data = root / "var"
    async with open_services(settings_on(data), Metrics()):
        pass
    return data


def snapshot(root: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
    }


async def test_a_fresh_machine_is_well(tmp_path: Path) -> None:
    checks = await checks_of(settings_on(tmp_path / "var"))
    assert [*checks] == ["settings", "data", "documents", "objects", "model"]
    assert all(check.ok for check in checks.values())


async def test_a_fresh_machine_stays_fresh(tmp_path: Path) -> None:
    await checks_of(settings_on(tmp_path / "var"))
    assert snapshot(tmp_path) == {}


async def test_a_used_data_folder_stays_as_it_was(tmp_path: Path) -> None:
    data = await used_folder(tmp_path)
    (data / "lock").write_text("4711\n")
    before = snapshot(data)
    checks = await checks_of(settings_on(data))
    assert all(check.ok for check in checks.values())
    assert snapshot(data) == before


async def test_what_is_well_says_its_version(tmp_path: Path) -> None:
    checks = await checks_of(settings_on(await used_folder(tmp_path)))
    assert "SQLite 3." in checks["documents"].detail
    assert "quick check" in checks["documents"].detail


async def test_a_damaged_database_is_told_and_nothing_else(tmp_path: Path) -> None:
    data = await used_folder(tmp_path)
    (data / "documents.sqlite").write_bytes(b"no database" * 1000)
    checks = await checks_of(settings_on(data))
    assert [name for name, check in checks.items() if not check.ok] == ["documents"]
    assert "backup" in checks["documents"].remedy


async def test_a_data_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file")
    checks = await checks_of(settings_on(tmp_path / "var"))
    assert not checks["data"].ok
    assert "DINOSERVE_DATA" in checks["data"].remedy
    assert checks["model"].ok


async def test_a_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    checks = await checks_of(settings_on(tmp_path, model=str(tmp_path / "none")))
    assert not checks["model"].ok
    assert "DINOSERVE_MODEL" in checks["model"].remedy


async def test_an_open_address_without_a_key_is_told(tmp_path: Path) -> None:
    checks = await checks_of(settings_on(tmp_path, host="0.0.0.0"))
    assert not checks["settings"].ok


async def test_a_key_digest_that_is_none_is_told_unshown(tmp_path: Path) -> None:
    checks = await checks_of(settings_on(tmp_path, api_keys="sha256:beef"))
    assert not checks["settings"].ok
    assert "beef" not in checks["settings"].detail


async def test_a_held_folder_whose_server_is_silent_is_told(tmp_path: Path) -> None:
    data = await used_folder(tmp_path)
    with claim_folder(data):
        checks = await checks_of(settings_on(data))
    assert [*checks] == ["settings", "data", "server"]
    assert not checks["server"].ok


async def collections_of(url: str) -> list[str]:
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        return await client.get_default_database().list_collection_names()


@pytest.mark.needs("mongodb")
async def test_an_empty_mongodb_is_well_and_stays_empty(
    tmp_path: Path, mongodb: str
) -> None:
    check = (await checks_of(settings_on(tmp_path, documents=mongodb)))["documents"]
    assert check.ok
    assert "MongoDB" in check.detail
    assert "schema 0; at the next start: migration 1" in check.detail
    assert await collections_of(mongodb) == []


@pytest.mark.needs("mongodb")
async def test_a_mongodb_in_use_tells_its_version_set_and_schema(
    tmp_path: Path, mongodb: str
) -> None:
    async with MongoDocuments.open(mongodb):
        pass
    check = (await checks_of(settings_on(tmp_path, documents=mongodb)))["documents"]
    assert check.ok
    assert re.fullmatch(r"MongoDB [\d.]+ \(\w+\), schema \d+, complete", check.detail)


@pytest.mark.needs("mongodb")
async def test_an_index_that_mongodb_lacks_is_told_and_not_made(
    tmp_path: Path, mongodb: str
) -> None:
    async with MongoDocuments.open(mongodb):
        pass
    async with AsyncMongoClient[dict[str, Any]](mongodb) as client:
        assets = client.get_default_database().assets
        await assets.drop_index("by_time")
        told = (await checks_of(settings_on(tmp_path, documents=mongodb)))["documents"]
        assert "make the index by_time of assets" in told.detail
        assert "by_time" not in await assets.index_information()


@pytest.mark.needs("mongodb")
async def test_a_mongodb_of_a_newer_version_is_told(
    tmp_path: Path, mongodb: str
) -> None:
    async with AsyncMongoClient[dict[str, Any]](mongodb) as client:
        await client.get_default_database().migrations.insert_one({"_id": 9999})
    check = (await checks_of(settings_on(tmp_path, documents=mongodb)))["documents"]
    assert not check.ok
    assert "newer dinoserve" in check.detail
    assert "mongodb.md" in check.remedy


@pytest.mark.needs("mongodb")
async def test_a_standalone_mongodb_is_told_with_the_remedy_of_mongodb(
    tmp_path: Path,
) -> None:
    server = MongoServer(":memory:", "--standalone").start()
    try:
        own = settings_on(tmp_path, documents=server.url)
        check = (await checks_of(own))["documents"]
    finally:
        server.stop()
    assert not check.ok
    assert "rs.initiate()" in check.detail
    assert "sqlite" not in check.remedy


async def test_a_bucket_that_cannot_be_is_told_with_its_settings(
    tmp_path: Path,
) -> None:
    check = (await checks_of(settings_on(tmp_path, objects="s3://bucket")))["objects"]
    assert not check.ok
    assert "DINOSERVE_S3_" in check.remedy


@pytest.mark.parametrize(("model", "exit_code"), [("stub", 0), ("/nowhere", 1)])
def test_the_exit_code_tells_whether_something_is_wrong(
    tmp_path: Path, model: str, exit_code: int
) -> None:
    env = {"DINOSERVE_DATA": os.fspath(tmp_path), "DINOSERVE_MODEL": model}
    result = CliRunner().invoke(app, ["doctor", "--json"], env=env)
    assert result.exit_code == exit_code
    assert {"name", "ok", "detail", "took_ms", "remedy"} == set(
        json.loads(result.stdout)[0]
    )
