"""Who may hold a data folder together; the claims are those of real processes."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dinoserve.adapters.data_folder import Claim, claim_folder, without_workers
from dinoserve.errors import DataFolderError

_HOLDS = """
import sys
from pathlib import Path
from dinoserve.adapters.data_folder import claim_folder
with claim_folder(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""

Hold = Callable[[Claim], "subprocess.Popen[str]"]


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Hold]:
    """Lets another process hold the folder until it is killed."""
    processes: list[subprocess.Popen[str]] = []

    def hold(claim: Claim) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", _HOLDS, str(tmp_path), claim],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("server", "worker"), ("worker", "server"), ("worker", "worker")],
)
def test_workers_may_be_beside_a_server_and_each_other(
    tmp_path: Path, hold: Hold, theirs: Claim, ours: Claim
) -> None:
    hold(theirs)
    with claim_folder(tmp_path, ours):
        pass


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("server", "server"),
        ("server", "alone"),
        ("worker", "alone"),
        ("alone", "server"),
        ("alone", "worker"),
        ("alone", "alone"),
    ],
)
def test_two_servers_or_anybody_beside_one_that_is_alone_are_refused(
    tmp_path: Path, hold: Hold, theirs: Claim, ours: Claim
) -> None:
    process = hold(theirs)
    with (
        pytest.raises(DataFolderError, match=f"in use by process {process.pid}"),
        claim_folder(tmp_path, ours),
    ):
        pass


@pytest.mark.parametrize("claim", ["server", "worker", "alone"])
def test_a_claim_ends_with_a_process_that_is_killed(
    tmp_path: Path, hold: Hold, claim: Claim
) -> None:
    process = hold(claim)
    process.kill()
    process.wait()
    with claim_folder(tmp_path, "alone"):
        pass


def test_a_claim_that_is_refused_holds_nothing(tmp_path: Path, hold: Hold) -> None:
    worker = hold("worker")
    with pytest.raises(DataFolderError), claim_folder(tmp_path, "alone"):
        pass
    worker.kill()
    worker.wait()
    with claim_folder(tmp_path, "alone"):
        pass


def test_it_is_told_whether_there_are_workers(tmp_path: Path, hold: Hold) -> None:
    with without_workers(tmp_path) as none:
        assert none
    hold("worker")
    with without_workers(tmp_path) as none:
        assert not none


def test_workers_are_kept_off_for_the_moment_only(tmp_path: Path) -> None:
    with (
        without_workers(tmp_path),
        pytest.raises(DataFolderError),
        claim_folder(tmp_path, "worker"),
    ):
        pass
    with claim_folder(tmp_path, "worker"):
        pass
