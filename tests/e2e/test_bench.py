"""`make bench`, in small: it measures everything, keeps it, and leaves nothing."""

import contextlib
import json
import platform
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "benchmarks" / "http.py"
MONGODB = (ROOT / ".venv" / "servers" / "bin" / "secantusd-py").exists()
LITSERVE = (Path(sys.prefix) / "peers" / "litserve").is_dir()
TINY = ("--quick", "--layers", "1", "--clients", "1,3", "--seconds", "0.1")
HTTP_ROWS = (
    "dinoserve /v1/embeddings",
    "hand-written server",
    *(["LitServe server"] if LITSERVE else []),
    "dinoserve, image as it is",
    "dinoserve /v1/assets",
)
OVERLOAD_ROWS = (
    ("dinoserve, as many as may wait", 64),
    ("dinoserve, 4 times as many", 256),
)
BARE_ROWS = (
    "bare forward, batch 1",
    "bare decode + forward, batch 1",
    "bare decode + forward, batch 16",
    "matrix product, in pictures",
    "bare forward, batch 16",
    "PyTorch fp32 forward, batch 16",
    "PyTorch bf16 forward, batch 16",
)
STORES = ("SQLite", *(["MongoDB"] if MONGODB else []))
STORE_ROWS = (
    ("/livez", 16),
    ("cached embedding of an asset", 16),
    ("bare store, 16 200 kB puts at once", 0),
    *((f"{store}, 200 kB upload", 16) for store in STORES),
    *((f"{store}, asset by id", 16) for store in STORES),
    *((f"{store}, page of 50", 16) for store in STORES),
    *((f"{store}, vectors read", 0) for store in STORES),
)

# Nobody can say beforehand whether this is there.
OPTIONAL_ROW = "int8 forward, batch 16"
AIMS = 25

pytestmark = pytest.mark.timeout(400)


class Finished(NamedTuple):
    """A run of the benchmark: what it printed, and the folder it wrote."""

    exit_code: int
    output: str
    folder: Path

    @property
    def result(self) -> dict[str, Any]:
        [file] = self.folder.glob("*.json")
        return json.loads(file.read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("results")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *TINY, "--out", str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return Finished(done.returncode, done.stdout + done.stderr, folder)


class Stopped(NamedTuple):
    """A run of the benchmark that a signal ended while it measured."""

    exit_code: int
    children: list[psutil.Process]
    folder: Path


@pytest.fixture(scope="module", params=[signal.SIGINT, signal.SIGTERM])
def stopped(request: pytest.FixtureRequest) -> Iterator[Stopped]:
    command = [sys.executable, str(SCRIPT), *TINY, "--seconds", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout
        assert run.stdout.readline().startswith("measuring")
        children = psutil.Process(run.pid).children(recursive=True)
        folders = _temporary_folders_of(children)
        run.send_signal(request.param)
        exit_code = run.wait()
    yield Stopped(exit_code, children, *folders)
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def test_a_run_without_failed_requests_ends_with_zero(finished: Finished) -> None:
    assert finished.exit_code == 0, finished.output


@pytest.mark.parametrize("name", [*HTTP_ROWS, *BARE_ROWS, *dict(STORE_ROWS)])
def test_the_table_has_a_line_for_everything_measured(
    finished: Finished, name: str
) -> None:
    lines = [line.strip() for line in finished.output.splitlines()]
    names = [re.split(r"\s{2,}", line)[0] for line in lines]
    assert names.count(name) == (2 if name in HTTP_ROWS else 1), finished.output


def test_the_kept_result_has_every_row_in_order(finished: Finished) -> None:
    rows = [
        (row["name"], row["clients"])
        for row in finished.result["rows"]
        if row["name"] != OPTIONAL_ROW
    ]
    assert rows == [
        *((name, clients) for clients in (1, 3) for name in HTTP_ROWS),
        *OVERLOAD_ROWS,
        *((name, 0) for name in BARE_ROWS),
        *STORE_ROWS,
    ]


def test_every_row_did_something_without_an_error(finished: Finished) -> None:
    rows = finished.result["rows"]
    assert [row["errors"] for row in rows] == [0] * len(rows)
    overload = dict(OVERLOAD_ROWS)
    assert all(
        row["done"] >= max(row["clients"], 1)
        for row in rows
        if row["name"] not in overload
    )


def test_too_many_clients_get_their_answer_or_429(finished: Finished) -> None:
    overload = dict(OVERLOAD_ROWS)
    for row in finished.result["rows"]:
        if row["name"] in overload:
            assert row["answers"]["200"] > 0
            assert set(row["answers"]) <= {"200", "429"}


def test_the_operations_of_a_forward_are_those_of_the_architecture(
    finished: Finished,
) -> None:
    # ViT-S/16 at 224 px: 57.8e6 multiply-adds before the blocks, 386.7e6 in each.
    assert finished.result["gflop"] == pytest.approx(2 * (57.8 + 386.7) / 1000, 1e-3)


def test_every_ratio_that_we_aim_at_is_told(finished: Finished) -> None:
    reached = finished.result["reached"]
    missing = [one["what"] for one in reached if one["value"] is None]
    assert len(reached) == AIMS
    optional = ("int8", "LitServe", "MongoDB")
    assert not [what for what in missing if not any(map(what.__contains__, optional))]


def test_a_run_says_what_there_is_of_int8(finished: Finished) -> None:
    has_row = OPTIONAL_ROW in [row["name"] for row in finished.result["rows"]]
    [note] = [note for note in finished.result["notes"] if "int8" in note]
    assert ("not available" in note) != has_row


def test_every_row_tells_what_it_cost_the_processor(finished: Finished) -> None:
    assert all(row["cpu_ms"] >= 0 for row in finished.result["rows"])
    busiest = max(finished.result["rows"], key=lambda row: row["cpu_ms"])
    assert busiest["cpu_ms"] > 0


def test_all_vectors_are_read_at_least_once(finished: Finished) -> None:
    vectors = finished.result["vectors"]
    read = [row for row in finished.result["rows"] if "vectors read" in row["name"]]
    assert vectors > 0
    assert [row["done"] % vectors for row in read] == [0] * len(STORES)


def test_a_run_says_whether_mongodb_was_measured(finished: Finished) -> None:
    notes = [note for note in finished.result["notes"] if "MongoDB" in note]
    assert [note.split(",")[0] for note in notes] == (
        [] if MONGODB else ["MongoDB: not measured"]
    )


def test_the_memory_run_keeps_a_line_for_every_mark(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.endurance", "--images", "10,40"),
            *("--seconds", "0.2", "--layers", "1", "--out", str(tmp_path)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [file] = tmp_path.glob("*.json")
    result = json.loads(file.read_text())
    assert [
        mark["images"] >= at
        for mark, at in zip(result["marks"], (0, 10, 40), strict=True)
    ] == [True] * 3
    assert all(0 < mark["above_mib"] < mark["rss_mib"] for mark in result["marks"])


def test_all_servers_give_the_same_vectors(finished: Finished) -> None:
    assert finished.result["lowest_cosine"] > 0.999


def test_the_page_beside_the_json_has_the_same_rows(finished: Finished) -> None:
    [page] = finished.folder.glob("*.md")
    rows = [line for line in page.read_text().splitlines() if line.startswith("|")]
    assert len(rows) == 2 + len(finished.result["rows"])


def test_the_kept_files_tell_nothing_of_where_the_machine_is(
    finished: Finished,
) -> None:
    for file in finished.folder.iterdir():
        text = file.name + file.read_text()
        for secret in (
            platform.node(),
            str(ROOT),
            str(Path.home()),
            str(finished.folder),
        ):
            assert secret not in text


def test_a_run_that_is_stopped_says_so_by_its_exit_code(stopped: Stopped) -> None:
    assert stopped.exit_code in {128 + signal.SIGINT, 128 + signal.SIGTERM}


def test_a_run_that_is_stopped_leaves_no_process_behind(stopped: Stopped) -> None:
    # The client, two servers, three engines and the ceiling; others may be there.
    assert len(stopped.children) >= 7
    assert not [child for child in stopped.children if child.is_running()]


def test_a_run_that_is_stopped_leaves_no_file_behind(stopped: Stopped) -> None:
    assert not stopped.folder.exists()


def _temporary_folders_of(children: list[psutil.Process]) -> set[Path]:
    folders = {Path(child.cwd()).parent for child in children}
    return {folder for folder in folders if folder.name.startswith("dinoserve-bench-")}
