"""Moving a service: real servers before and after, a real copy command between."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from odd_files import photo
from servers import running
from stored import (
    data_uri,
    integrity,
    listed,
    object_names,
    row_counts,
    search,
    sha256,
    uploaded,
)

COUNT = 12
TIMEOUT_S = 90


def clean_environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("DINOSERVE_")}


def command(cwd: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "dinoserve", *arguments],
        cwd=cwd,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def copied(cwd: Path, *arguments: str) -> dict[str, Any]:
    result = command(cwd, "copy", "--json", *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(result.stdout)


def picture(seed: int) -> bytes:
    return photo(seed, 64, 48)


def shown(data: Path, **env: str) -> tuple[dict[str, Any], dict[str, float]]:
    """What a server of these stores lists, and finds for one picture."""
    with running(data, DINOSERVE_MODEL="stub", **env) as server:
        with server.client() as client:
            assets = listed(client)
            for key, asset in assets.items():
                content = client.get(f"/v1/assets/{key}/content").content
                assert sha256(content) == asset["sha256"]
            hits = search(client, {"image": data_uri(picture(99))}, k=COUNT)
        server.stop()
    return assets, hits


@pytest.mark.needs("mongodb")
def test_a_service_moves_to_mongodb_and_back_and_answers_the_same(
    tmp_path: Path, mongodb: str
) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    with running(first, DINOSERVE_MODEL="stub") as server:
        with server.client() as client:
            for seed in range(COUNT):
                uploaded(client, picture(seed), tags="hero", subject="Ann")
        server.stop()
    before = shown(first)
    production = tmp_path / "production.env"
    production.write_text(f"DINOSERVE_DATA={second}\nDINOSERVE_DOCUMENTS={mongodb}\n")

    told = copied(tmp_path, "--from", str(first), "--to", str(production))
    assert (told["copied"]["copied"], told["verified"]["verified"]) == (COUNT, COUNT)
    assert shown(second, DINOSERVE_DOCUMENTS=mongodb) == before

    third.mkdir()
    told = copied(tmp_path, "--from", str(production), "--to", str(third))
    assert (told["copied"]["copied"], told["others"]) == (COUNT, 0)
    assert shown(third) == before

    again = copied(tmp_path, "--from", str(production), "--to", str(third))
    assert again["copied"]["already_there"] == COUNT


def test_a_copy_refuses_a_folder_that_a_server_holds(tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    with running(tmp_path / "from", DINOSERVE_MODEL="stub"):
        arguments = ("--from", str(tmp_path / "from"), "--to", str(tmp_path / "to"))
        result = command(tmp_path, "copy", *arguments)
    assert result.returncode == 2
    assert "in use by process" in result.stderr


def test_a_copy_that_lacks_an_original_says_so_and_fails(tmp_path: Path) -> None:
    source, target = tmp_path / "from", tmp_path / "to"
    target.mkdir()
    with running(source, DINOSERVE_MODEL="stub") as server:
        with server.client() as client:
            lost = uploaded(client, picture(1))
            uploaded(client, picture(2))
        server.stop()
    name = sha256(picture(1))
    next((source / "objects").rglob(name)).unlink()
    result = command(tmp_path, "copy", "--from", str(source), "--to", str(target))
    assert result.returncode == 1
    assert f"{lost}: unavailable: The original is missing" in result.stdout
    assert "1 verified" in result.stdout


def killed_in_the_middle(source: Path, target: Path) -> None:
    """Copy, and kill the copying process with SIGKILL once something has arrived."""
    before = len(object_names(target))
    arguments = ["copy", "--from", str(source), "--to", str(target)]
    with subprocess.Popen(
        [sys.executable, "-m", "dinoserve", *arguments],
        cwd=target,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + TIMEOUT_S
        while len(object_names(target)) < before + 10:
            assert process.poll() is None, "it ended before it was killed"
            assert time.monotonic() < deadline
        process.kill()
    assert process.returncode == -signal.SIGKILL


def test_a_copy_that_is_killed_again_and_again_ends_complete_and_verified(
    tmp_path: Path,
) -> None:
    count = 200
    source, target = tmp_path / "from", tmp_path / "to"
    target.mkdir()
    with running(source, DINOSERVE_MODEL="stub") as server:
        with server.client() as client:
            for seed in range(count):
                uploaded(client, picture(seed))
        server.stop()
    for _ in range(3):
        killed_in_the_middle(source, target)
        assert row_counts(target)["asset"] < count
    told = copied(tmp_path, "--from", str(source), "--to", str(target))
    assert told["verified"]["verified"] == count
    assert told["copied"]["already_there"] > 0
    assert told["copied"]["copied"] > 0
    assert row_counts(target) == row_counts(source)
    assert object_names(target) == object_names(source)
    assert integrity(target) == "ok"
