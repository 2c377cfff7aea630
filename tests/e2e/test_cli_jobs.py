"""`dinoserve jobs` as people run it: real processes, a server that comes and goes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from odd_files import photo
from servers import Server, running
from workers import worker

STUB = {"DINOSERVE_MODEL": "stub"}
DEADLINE_S = 60
NOBODY = "0" * 32


class Command:
    """`dinoserve jobs …` against a server; ended, it tells its code and words."""

    def __init__(self, server: Server, *arguments: str) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("DINOSERVE_")}
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "dinoserve",
                "jobs",
                *arguments,
                "--url",
                server.url,
            ],
            cwd=server.data,
            env=clean,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ended(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, out, err

    def json(self) -> Any:
        code, out, err = self.ended()
        assert code == 0, err
        return json.loads(out)


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that leaves all work to workers, of which there are none."""
    data = tmp_path_factory.mktemp("idle")
    with running(data, **STUB, DINOSERVE_JOB_SLOTS="0") as server:
        yield server


def stored(server: Server, *seeds: int) -> list[str]:
    """Give the server pictures without vectors; return their ids."""
    options: dict[str, Any] = {"params": {"embed": False}}
    with server.client() as client:
        return [
            client.post(
                "/v1/assets", files={"file": photo(seed, 64, 48)}, **options
            ).json()["id"]
            for seed in seeds
        ]


def submitted(server: Server) -> str:
    with server.client() as client:
        job = client.post("/v1/jobs", json={"kind": "embed"}).json()
    return str(job["id"])


def test_a_job_is_submitted_watched_and_shown(server: Server) -> None:
    ids = stored(server, 1, 2, 3)
    arguments = ("--parameter", f"assets={json.dumps(ids)}", "--watch", "--json")
    job = Command(server, "submit", "embed", *arguments).json()
    assert (job["state"], job["progress"]["done"]) == ("succeeded", 3)
    shown = Command(server, "show", job["id"], "--json").json()
    assert (shown["version"], shown["failures"]) == (job["version"], [])
    listed = Command(server, "list", "--state", "succeeded", "--json").json()
    assert job["id"] in {one["id"] for one in listed["jobs"]}
    _, table, _ = Command(server, "list").ended()
    assert job["id"] in table


def test_one_idempotency_key_makes_one_job(idle: Server) -> None:
    arguments = ("embed", "--idempotency-key", "nightly", "--json")
    first, second = [Command(idle, "submit", *arguments).json() for _ in range(2)]
    assert first["id"] == second["id"]
    code, _, err = Command(idle, "submit", "erase", *arguments[1:]).ended()
    assert code == 1
    assert "idempotency-mismatch" in err or "parameters" in err


def test_the_watch_goes_on_after_the_server_was_killed(tmp_path: Path) -> None:
    server = Server(tmp_path, **STUB, DINOSERVE_JOB_SLOTS="0").start()
    try:
        job = submitted(server)
        watch = Command(server, "watch", job, "--json")
        until_listening(server, job)
        server.kill()
        server.start()
        with worker(tmp_path, "--drain", **STUB):
            ended = watch.json()
    finally:
        server.kill()
    assert (ended["id"], ended["state"]) == (job, "succeeded")


def test_a_cancelled_job_ends_its_watch_with_code_one(idle: Server) -> None:
    job = submitted(idle)
    watch = Command(idle, "watch", job)
    assert Command(idle, "cancel", job, "--json").json()["state"] == "cancelled"
    code, out, _ = watch.ended()
    assert code == 1
    assert "cancelled" in out
    again, _, err = Command(idle, "cancel", job).ended()
    assert again == 1
    assert "job-state" in err


def test_ctrl_c_ends_the_watch_and_not_the_job(idle: Server) -> None:
    job = submitted(idle)
    watch = Command(idle, "watch", job)
    until_listening(idle, job)
    watch.process.send_signal(signal.SIGINT)
    code, _, err = watch.ended()
    assert code == 130
    assert f"dinoserve jobs watch {job}" in err
    assert "Traceback" not in err
    assert Command(idle, "show", job, "--json").json()["state"] == "queued"


def test_a_result_is_there_once_the_job_succeeded(
    server: Server, idle: Server, tmp_path: Path
) -> None:
    stored(server, 4)
    done = Command(server, "submit", "embed", "--watch", "--json").json()["id"]
    file = tmp_path / "result.json"
    told = Command(server, "result", done, "-o", str(file), "--json").json()
    assert told == {"file": str(file), "bytes": file.stat().st_size}
    assert json.loads(file.read_text()) == json.loads(
        Command(server, "result", done).ended()[1]
    )
    code, out, err = Command(idle, "result", submitted(idle)).ended()
    assert (code, out) == (1, "")
    assert "job-state" in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["submit", "nonsense"], "invalid-input"),
        (["submit", "embed", "--parameter", "k=5"], "parameters.k"),
        (["show", NOBODY], "job-not-found"),
        (["watch", NOBODY], "job-not-found"),
        (["retry", NOBODY], "job-not-found"),
        (["dead", "show", f"{NOBODY}.1"], "job-not-found"),
    ],
)
def test_what_the_server_refuses_is_told_with_code_one(
    idle: Server, arguments: list[str], told: str
) -> None:
    code, out, err = Command(idle, *arguments).ended()
    assert (code, out) == (1, "")
    assert told in err
    assert "Traceback" not in err


def test_dead_letters_are_listed_and_requeued(idle: Server) -> None:
    assert Command(idle, "dead", "list", "--json").json() == {"dead_letters": []}
    changed = Command(idle, "dead", "requeue", "--all", "--json").json()
    assert (changed["changed"], changed["refused"]) == (0, 0)
    code, out, _ = Command(idle, "dead", "discard", f"{NOBODY}.1").ended()
    assert (code, "1 refused" in out) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["dead", "requeue"],
        ["dead", "requeue", f"{NOBODY}.1", "--all"],
        ["dead", "discard", f"{NOBODY}.1", "--kind", "embed"],
        ["submit", "embed", "--parameter", "k"],
        ["result", NOBODY, "--json"],
    ],
)
def test_arguments_that_contradict_each_other_are_refused(
    idle: Server, arguments: list[str]
) -> None:
    code, out, err = Command(idle, *arguments).ended()
    assert (code, out) == (2, "")
    assert "Traceback" not in err


def until_listening(server: Server, job: str) -> None:
    """Wait until somebody asked the server for the job; its events come next."""
    deadline = time.monotonic() + DEADLINE_S
    while f"GET /v1/jobs/{job} 200" not in server.output:
        assert time.monotonic() < deadline
