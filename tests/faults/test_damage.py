"""Damaged files: refused at the start, or answered clearly and healed while running."""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path

import pytest

from odd_files import photo
from servers import Server, running
from stored import (
    check_nothing_is_half_visible,
    data_uri,
    search,
    sha256,
    upload,
    uploaded,
)

Damage = Callable[[bytes], bytes]

PAGE = 4096


def overwrite_the_header(whole: bytes) -> bytes:
    return b"\0" * 100 + whole[100:]


def put_garbage_in_the_middle(whole: bytes) -> bytes:
    middle = len(whole) // PAGE // 2 * PAGE
    return whole[:middle] + b"\xa5" * 4 * PAGE + whole[middle + 4 * PAGE :]


def cut_in_half(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def replace_with_text(_whole: bytes) -> bytes:
    return b"this was a database once\n" * 400


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path / "data", DINOSERVE_MODEL="stub") as server:
        yield server


@pytest.mark.parametrize(
    "damage",
    [overwrite_the_header, put_garbage_in_the_middle, cut_in_half, replace_with_text],
)
def test_a_damaged_database_is_refused_by_name_and_left_untouched(
    server: Server, damage: Damage
) -> None:
    with server.client() as client:
        for seed in range(12):
            uploaded(client, photo(seed, 64, 48), metadata=f'{{"n": {seed}}}')
    assert server.stop() == 0
    database = server.data / "documents.sqlite"
    damaged = damage(database.read_bytes())
    database.write_bytes(damaged)
    output = server.refused()
    assert "documents.sqlite is damaged" in output
    assert "restore it" in output
    assert database.read_bytes() == damaged


def test_a_database_of_a_newer_version_is_refused_and_left_untouched(
    server: Server,
) -> None:
    assert server.stop() == 0
    database = server.data / "documents.sqlite"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA user_version = 999")
    newer = database.read_bytes()
    output = server.refused()
    assert "written by a newer dinoserve" in output
    assert "999" in output
    assert database.read_bytes() == newer


def test_a_file_in_place_of_the_data_folder_is_refused(tmp_path: Path) -> None:
    occupied = tmp_path / "occupied"
    occupied.write_text("mine")
    settings = {"DINOSERVE_DATA": str(occupied), "DINOSERVE_MODEL": "stub"}
    output = Server(tmp_path / "work", **settings).refused()
    assert f"The data folder {occupied} cannot be used" in output
    assert "DINOSERVE_DATA" in output
    assert occupied.read_text() == "mine"


def test_a_file_in_place_of_the_objects_is_refused(tmp_path: Path) -> None:
    (tmp_path / "objects").write_text("mine")
    output = Server(tmp_path, DINOSERVE_MODEL="stub").refused()
    assert "cannot start: objects: " in output
    assert (tmp_path / "objects").read_text() == "mine"


def test_a_damaged_model_is_refused_by_name(tmp_path: Path) -> None:
    bundled = Path(str(resources.files("dinoserve"))) / "engine" / "bundled"
    model = shutil.copytree(bundled, tmp_path / "model")
    weights = model / "model.safetensors"
    weights.write_bytes(cut_in_half(weights.read_bytes()))
    output = Server(tmp_path / "data", DINOSERVE_MODEL=str(model)).refused()
    assert f"{model}: model.safetensors is damaged or cut short" in output


@pytest.mark.parametrize("damage", [None, cut_in_half], ids=["lost", "cut_short"])
def test_a_lost_original_is_told_of_and_healed_by_uploading_it_again(
    server: Server, damage: Damage | None
) -> None:
    data = photo(1)
    with server.client() as client:
        key = uploaded(client, data)
        other = uploaded(client, photo(2))
        file = object_path(server.data, data)
        if damage is None:
            file.unlink()
        else:
            file.write_bytes(damage(data))
        for headers in ({}, {"range": "bytes=0-9"}):
            problem = client.get(f"/v1/assets/{key}/content", headers=headers)
            assert problem.status_code == 503
            assert problem.json()["type"] == "/problems/unavailable"
            assert "upload the same bytes again" in problem.json()["detail"]
        assert client.get(f"/v1/assets/{other}/content").status_code == 200
        assert search(client, {"image": data_uri(data)}, k=1)[key] >= 0.999
        assert upload(client, data).status_code == 200
        assert client.get(f"/v1/assets/{key}/content").content == data
    check_nothing_is_half_visible(server)


def object_path(folder: Path, data: bytes) -> Path:
    """Return where the object store keeps these bytes."""
    digest = sha256(data)
    return folder / "objects" / digest[:2] / digest[2:4] / digest
