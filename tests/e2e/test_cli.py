"""The commands as people run them: real processes, a real server, real pictures."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dinoserve.cli.samples import sample_pictures
from odd_files import odd_files, photo
from servers import Server, running

DEADLINE_S = 60


def start(cwd: Path, *arguments: str, **env: str) -> subprocess.Popen[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("DINOSERVE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "dinoserve", *arguments],
        cwd=cwd,
        env=clean | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Result:
    """An ended command: exit code and what it said."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.out, self.err = process.communicate(timeout=DEADLINE_S)
        self.code = process.returncode

    def json(self) -> Any:
        return json.loads(self.out)


def dinoserve(cwd: Path, *arguments: str, **env: str) -> Result:
    return Result(start(cwd, *arguments, **env))


def write_photos(folder: Path, count: int) -> Path:
    folder.mkdir()
    for seed in range(count):
        (folder / f"{seed:03}.jpg").write_bytes(photo(seed, 64, 48))
    return folder


def stored(server: Server) -> int:
    with server.client() as client:
        answer = client.get("/v1/assets", params={"limit": 1000})
    return len(answer.json()["assets"])


def wait_until_stored(server: Server, count: int) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while stored(server) < count:
        assert time.monotonic() < deadline


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path / "server", DINOSERVE_MODEL="stub") as server:
        yield server


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("guarded")
    settings = {"DINOSERVE_MODEL": "stub", "DINOSERVE_API_KEYS": "right"}
    with running(data, **settings) as server:
        yield server


def test_a_folder_of_good_and_odd_files_is_ingested_as_far_as_it_can_be(
    server: Server, tmp_path: Path
) -> None:
    files = list(odd_files())
    for file in files:
        (tmp_path / file.name).write_bytes(file.data)
    arguments = ("ingest", str(tmp_path), "--collection", "odd", "--json", "--all")
    told = dinoserve(tmp_path, *arguments, "--url", server.url).json()
    failed = {Path(one["item"]).name: one["code"] for one in told["failures"]}
    expected = {file.name: file.answer for file in files if file.answer != "ok"}
    assert failed == expected
    assert told["new"] + told["already_there"] == len(files) - len(expected)


def test_some_failures_give_exit_code_one_and_a_list(
    server: Server, tmp_path: Path
) -> None:
    folder = write_photos(tmp_path / "pictures", 2)
    (folder / "bad.jpg").write_bytes(b"")
    result = dinoserve(tmp_path, "ingest", str(folder), "--url", server.url)
    assert result.code == 1
    assert "1 failed" in result.out
    assert f"{folder}/bad.jpg: image-empty" in result.out


def test_the_samples_are_ingested_with_what_is_said_of_them(
    server: Server, tmp_path: Path
) -> None:
    arguments = ("ingest", "--samples", "--collection", "samples", "--json")
    told = dinoserve(tmp_path, *arguments, "--url", server.url).json()
    assert (told["new"], told["failures"]) == (len(sample_pictures()), [])
    with server.client() as client:
        chosen = {"collection": "samples", "tag": "shot", "limit": 100}
        found = client.get("/v1/assets", params=chosen).json()["assets"]
    subjects = [one["subject"] for one in found if "shot" in one["tags"]]
    assert sorted(subjects) == ["bean", "bean", "dee", "dee", "ethan", "ethan"]


def test_the_second_run_finds_all_already_there(server: Server, tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "pictures", 10)
    arguments = ("ingest", str(folder), "--collection", "twice", "--json")
    first = dinoserve(tmp_path, *arguments, "--url", server.url)
    second = dinoserve(tmp_path, *arguments, "--url", server.url)
    assert (first.code, first.json()["new"]) == (0, 10)
    assert (second.code, second.json()["already_there"]) == (0, 10)


def test_search_finds_the_same_picture_first(server: Server, tmp_path: Path) -> None:
    folder = write_photos(tmp_path / "pictures", 8)
    where = ("--collection", "find", "--url", server.url)
    dinoserve(tmp_path, "ingest", str(folder), *where)
    image = str(folder / "005.jpg")
    hits = dinoserve(tmp_path, "search", image, "--json", *where).json()["hits"]
    assert hits[0]["asset"]["filename"] == "005.jpg"
    assert hits[0]["score"] >= 0.999


def test_search_by_asset_shows_a_table_without_the_asset_itself(
    server: Server, tmp_path: Path
) -> None:
    folder = write_photos(tmp_path / "pictures", 3)
    where = ("--collection", "by-asset", "--url", server.url)
    dinoserve(tmp_path, "ingest", str(folder), *where)
    image = str(folder / "000.jpg")
    hits = dinoserve(tmp_path, "search", image, "--json", *where).json()["hits"]
    table = dinoserve(tmp_path, "search", hits[0]["asset"]["id"], *where).out
    assert "001.jpg" in table
    assert "000.jpg" not in table


def test_search_honours_tags_and_says_when_nothing_is_left(
    server: Server, tmp_path: Path
) -> None:
    folder = write_photos(tmp_path / "pictures", 2)
    where = ("--collection", "tags", "--url", server.url)
    dinoserve(tmp_path, "ingest", str(folder), "--tag", "sea", "--tag", "sun", *where)
    image = str(folder / "000.jpg")
    found = dinoserve(tmp_path, "search", image, "--tag", "sun", *where)
    nothing = dinoserve(tmp_path, "search", image, "--tag", "moon", *where)
    assert "sea, sun" in found.out
    assert (nothing.code, nothing.out) == (0, "Nothing found.\n")


def test_search_with_what_is_no_picture_tells_the_servers_reason(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("no picture")
    result = dinoserve(tmp_path, "search", "a.txt", "--url", server.url)
    assert (result.code, result.out) == (1, "")
    assert "image-unsupported" in result.err


def test_models_shows_note_and_licence(server: Server, tmp_path: Path) -> None:
    result = dinoserve(tmp_path, "models", "--url", server.url)
    assert "licence" in result.out
    assert "Its vectors mean nothing" in result.out


def test_reembed_makes_what_was_only_stored_searchable(
    server: Server, tmp_path: Path
) -> None:
    folder = write_photos(tmp_path / "pictures", 20)
    where = ("--collection", "later", "--url", server.url)
    dinoserve(tmp_path, "ingest", str(folder), "--no-embed", *where)
    result = dinoserve(tmp_path, "reembed", "--json", *where)
    assert (result.code, result.json()["embedded"]) == (0, 20)
    image = str(folder / "000.jpg")
    hits = dinoserve(tmp_path, "search", image, "--json", *where).json()["hits"]
    assert len(hits) == 10


def test_doctor_asks_the_server_that_holds_the_data_folder(
    server: Server, tmp_path: Path
) -> None:
    settings = {
        "DINOSERVE_DATA": str(server.data),
        "DINOSERVE_PORT": str(server.port),
    }
    result = dinoserve(tmp_path, "doctor", "--json", **settings)
    assert result.code == 0
    assert {"server", "embedder", "documents"} <= {row["name"] for row in result.json()}


@pytest.mark.parametrize("command", ["models", "reembed", "ingest", "search"])
def test_a_wrong_key_is_told_and_not_shown(
    guarded: Server, tmp_path: Path, command: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(1, 64, 48))
    image = ["a.jpg"] if command in {"ingest", "search"} else []
    key = ("--key", "wrong-secret", "--url", guarded.url)
    result = dinoserve(tmp_path, command, *image, *key)
    assert result.code == 2
    assert "unauthorized" in result.err
    assert "wrong-secret" not in result.out + result.err


def test_the_key_of_the_settings_opens_the_server(
    guarded: Server, tmp_path: Path
) -> None:
    settings = {"DINOSERVE_API_KEYS": "right", "DINOSERVE_PORT": str(guarded.port)}
    assert dinoserve(tmp_path, "models", **settings).code == 0


@pytest.mark.parametrize("command", ["models", "reembed", "ingest", "search"])
def test_without_a_server_the_address_and_the_remedy_are_told(
    tmp_path: Path, command: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(1, 64, 48))
    image = ["a.jpg"] if command in {"ingest", "search"} else []
    with socket.socket() as bound:  # bound and not listening: nobody else gets it
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        result = dinoserve(tmp_path, command, *image, "--url", url)
    assert result.code == 2
    assert url in result.err
    assert "make run" in result.err


@pytest.mark.parametrize("path", ["empty", "nowhere"])
def test_ingest_without_images_gives_exit_code_two(tmp_path: Path, path: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").write_text("x")
    result = dinoserve(tmp_path, "ingest", path)
    assert (result.code, result.out) == (2, "")
    assert "no images" in result.err


@pytest.mark.parametrize(
    "command", ["serve", "ingest .", "search a", "models", "reembed", "doctor"]
)
def test_a_wrong_setting_stops_every_command_with_one_line(
    tmp_path: Path, command: str
) -> None:
    result = dinoserve(tmp_path, *command.split(), DINOSERVE_PORT="abc")
    assert result.code == 2
    assert result.err.startswith("dinoserve: DINOSERVE_PORT: ")
    assert result.err.count("\n") == 1


def test_ingest_outlives_a_server_that_is_killed_and_comes_back(
    own_server: Server, tmp_path: Path
) -> None:
    folder = write_photos(tmp_path / "pictures", 400)
    arguments = ("ingest", str(folder), "--concurrency", "2", "--json")
    ingest = start(tmp_path, *arguments, "--url", own_server.url)
    wait_until_stored(own_server, 10)
    own_server.kill()
    assert ingest.poll() is None, "it ended before the server was killed"
    own_server.start()
    result = Result(ingest)
    told = result.json()
    assert (result.code, told["failed"], told["left"]) == (0, 0, 0)
    assert stored(own_server) == 400


def test_ctrl_c_ends_ingest_with_the_summary_so_far(
    own_server: Server, tmp_path: Path
) -> None:
    folder = write_photos(tmp_path / "pictures", 400)
    arguments = ("ingest", str(folder), "--concurrency", "2", "--json")
    ingest = start(tmp_path, *arguments, "--url", own_server.url)
    wait_until_stored(own_server, 10)
    ingest.send_signal(signal.SIGINT)
    result = Result(ingest)
    told = result.json()
    assert (result.code, told["stopped"]) == (130, "interrupted")
    assert told["new"] + told["left"] == 400
    assert "Traceback" not in result.err
