"""`dinoserve worker` beside a real server: it works, stops, dies, and loses nothing."""

import re
import signal
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest

from odd_files import photo
from servers import Server, running
from stored import data_uri
from workers import Worker, worker

STUB = {"DINOSERVE_MODEL": "stub"}
DEADLINE_S = 60
# A worker that was killed is missed after a second, not after fifteen.
SWIFT = {**STUB, "DINOSERVE_JOB_LEASE_S": "1"}


SEEDS = count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that leaves all work to workers."""
    data = tmp_path_factory.mktemp("server")
    with running(data, **SWIFT, DINOSERVE_JOB_SLOTS="0") as server:
        yield server


@pytest.fixture(scope="module")
def any_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("engine"), **STUB) as engine:
        yield engine


@pytest.fixture
def engine(any_engine: Server) -> Iterator[Server]:
    """An engine that a test may stop, so that chunks do not end by themselves."""
    yield any_engine
    any_engine.tell(signal.SIGCONT)


@contextmanager
def stuck(server: Server, engine: Server, *options: str) -> Generator[Worker]:
    """A worker that cannot end a chunk while its engine is stopped."""
    env = {**SWIFT, "DINOSERVE_ENGINE_URL": engine.url}
    with worker(server.data, "--health-port", "0", *options, **env) as one:
        engine.tell(signal.SIGSTOP)
        yield one


@pytest.fixture
def client(server: Server) -> Iterator[httpx2.Client]:
    with server.client() as client:
        yield client


def stored(
    client: httpx2.Client, number: int, collection: str = "default"
) -> list[str]:
    """Give the server pictures without vectors; return their ids."""
    return [
        client.post(
            "/v1/assets",
            params={"embed": False},
            data={"collection": collection},
            files={"file": photo(next(SEEDS), 64, 48)},
        ).json()["id"]
        for _ in range(number)
    ]


def submitted(client: httpx2.Client, kind: str, **parameters: Any) -> str:
    body = {"kind": kind, "parameters": parameters}
    answer = client.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def state(client: httpx2.Client, job: str) -> str:
    return str(client.get(f"/v1/jobs/{job}").json()["state"])


def over(client: httpx2.Client, job: str) -> dict[str, Any]:
    """Return the job once nobody works on it any more."""
    deadline = time.monotonic() + DEADLINE_S
    while state(client, job) in {"queued", "running"}:
        assert time.monotonic() < deadline
    return dict(client.get(f"/v1/jobs/{job}").json())


def test_a_worker_does_what_the_server_leaves_to_it(
    server: Server, client: httpx2.Client
) -> None:
    ids = stored(client, 20, "left")
    job = submitted(client, "embed", collection="left")
    with worker(server.data, **SWIFT) as one:
        done = over(client, job)
        one.said("20 done, 0 failed")
        assert one.stop() == 0
    assert (done["state"], done["progress"]["done"]) == ("succeeded", 20)
    assert all(client.get(f"/v1/assets/{key}").json()["embeddings"] for key in ids)
    assert "Traceback" not in one.output


def test_what_a_worker_embeds_the_server_finds(
    server: Server, client: httpx2.Client
) -> None:
    first, *others = stored(client, 5)
    with worker(server.data, **SWIFT):
        over(client, submitted(client, "embed", assets=[first, *others]))
        query = {"query": {"asset": first}, "k": 1000}
        deadline = time.monotonic() + DEADLINE_S
        while not found(client, query) >= set(others):
            assert time.monotonic() < deadline


def test_a_draining_worker_ends_once_nothing_is_left(
    server: Server, client: httpx2.Client
) -> None:
    job = submitted(client, "embed", assets=stored(client, 10))
    with worker(server.data, "--drain", **SWIFT) as one:
        assert one.wait(DEADLINE_S) == 0
    assert state(client, job) == "succeeded"


def test_a_worker_of_some_kinds_leaves_the_others_alone(
    server: Server, client: httpx2.Client
) -> None:
    ids = stored(client, 3)
    embed = submitted(client, "embed", assets=ids)
    erase = submitted(client, "erase", assets=ids[:1])
    with worker(server.data, "--kinds", "erase", "--drain", **SWIFT) as one:
        assert one.wait(DEADLINE_S) == 0
    assert state(client, erase) == "succeeded"
    assert state(client, embed) == "queued"
    client.post(f"/v1/jobs/{embed}/cancel")


def test_a_killed_workers_chunk_is_done_by_another_and_counted_once(
    server: Server, client: httpx2.Client, engine: Server
) -> None:
    ids = stored(client, 30)
    with stuck(server, engine, "--name", "doomed") as doomed:
        job = submitted(client, "embed", assets=ids)
        until_begun(doomed)
        doomed.kill()
    with worker(server.data, **SWIFT):
        done = over(client, job)
    assert done["state"] == "succeeded"
    assert (done["progress"]["done"], done["progress"]["items"]) == (30, 30)


def test_a_worker_that_is_stopped_gives_its_chunk_back(
    server: Server, client: httpx2.Client, engine: Server
) -> None:
    ids = stored(client, 30)
    with stuck(server, engine, "--grace", "0") as leaving:
        job = submitted(client, "embed", assets=ids)
        until_begun(leaving)
        assert leaving.stop() == 0
    with worker(server.data, "--drain", **SWIFT) as next_one:
        assert next_one.wait(DEADLINE_S) == 0
    done = over(client, job)
    assert (done["state"], done["progress"]["done"]) == ("succeeded", 30)
    assert "workers died" not in leaving.output + next_one.output


def test_chunks_at_work_may_end_before_a_stopped_worker_does(
    server: Server, client: httpx2.Client, engine: Server
) -> None:
    ids = stored(client, 30)
    with stuck(server, engine, "--grace", "60") as leaving:
        job = submitted(client, "embed", assets=ids)
        until_begun(leaving)
        leaving.tell(signal.SIGTERM)
        leaving.said("no further chunk is begun")
        engine.tell(signal.SIGCONT)
        assert leaving.wait() == 0
    assert "30 done, 0 failed" in leaving.output
    assert over(client, job)["progress"]["done"] == 30


def test_a_second_signal_ends_a_worker_at_once(
    server: Server, client: httpx2.Client, engine: Server
) -> None:
    ids = stored(client, 3)
    with stuck(server, engine, "--grace", "600") as hurried:
        job = submitted(client, "embed", assets=ids)
        until_begun(hurried)
        hurried.tell(signal.SIGTERM)
        hurried.said("no further chunk is begun")
        hurried.tell(signal.SIGINT)
        assert hurried.wait() == 128 + signal.SIGINT
    client.post(f"/v1/jobs/{job}/cancel")


def test_a_worker_answers_probes_and_shows_its_figures(
    server: Server, client: httpx2.Client
) -> None:
    ids = stored(client, 4)
    with worker(server.data, "--health-port", "0", **SWIFT) as one:
        over(client, submitted(client, "embed", assets=ids))
        with httpx2.Client(base_url=one.probes) as probes:
            assert probes.get("/livez").status_code == 200
            assert probes.get("/readyz").json()["ready"] is True
            assert (
                'dinoserve_job_chunk_seconds_count{kind="embed"}'
                in probes.get("/metrics").text
            )
            assert probes.get("/v1/assets").status_code == 404


def test_figures_of_a_worker_need_the_key_as_those_of_a_server(server: Server) -> None:
    env = {**SWIFT, "DINOSERVE_API_KEYS": "a-key"}
    with (
        worker(server.data, "--health-port", "0", **env) as one,
        httpx2.Client(base_url=one.probes) as probes,
    ):
        assert probes.get("/readyz").status_code == 200
        assert probes.get("/metrics").status_code == 401
        headers = {"authorization": "Bearer a-key"}
        assert probes.get("/metrics", headers=headers).status_code == 200


def test_a_worker_without_a_model_uses_the_servers(
    server: Server, client: httpx2.Client
) -> None:
    image = photo(next(SEEDS), 64, 48)
    query = {"input": data_uri(image)}
    fresh = client.post("/v1/embeddings", json=query).json()["data"][0]["embedding"]
    files = {"file": image}
    kept = client.post("/v1/assets", params={"embed": False}, files=files).json()["id"]
    job = submitted(client, "embed", assets=[kept])
    remote = {"DINOSERVE_ENGINE_URL": server.url}
    with worker(server.data, "--drain", **remote) as one:
        assert one.wait(DEADLINE_S) == 0
    assert "elsewhere" in one.output
    assert state(client, job) == "succeeded"
    answer = client.post("/v1/embeddings", json={"input": kept}).json()
    assert answer["usage"]["total_tokens"] == 0, "the worker kept no vector"
    assert answer["data"][0]["embedding"] == pytest.approx(fresh, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "env", "told"),
    [
        ([], {"DINOSERVE_DOCUMENTS": "memory:"}, "kept in memory"),
        (["--kinds", "nonsense"], {}, "no kind of job 'nonsense'"),
        (["--health-port", "0", "--health-host", "0.0.0.0"], {}, "no API key is set"),
        ([], {"DINOSERVE_ENGINE_URL": "http://127.0.0.1:1"}, "cannot be reached"),
        ([], {"DINOSERVE_ENGINE_URL": "gpu-box"}, "https://gpu-box:8000"),
    ],
)
def test_a_worker_that_cannot_work_says_why(
    server: Server, options: list[str], env: dict[str, str], told: str
) -> None:
    refused = Worker(server.data, *options, **SWIFT, **env)
    assert refused.wait(DEADLINE_S) == 2
    assert told in refused.output
    assert "Traceback" not in refused.output


def test_a_worker_makes_no_stores_of_its_own(tmp_path: Path) -> None:
    refused = Worker(tmp_path, **STUB)
    assert refused.wait(DEADLINE_S) == 2
    assert "start a server once" in refused.output
    assert list(tmp_path.iterdir()) == []


def until_begun(one: Worker) -> None:
    """Wait until the worker waits for its engine."""
    deadline = time.monotonic() + DEADLINE_S
    while not re.search(
        r"^dinoserve_engine_waiting_images [1-9]",
        httpx2.get(f"{one.probes}/metrics").text,
        re.MULTILINE,
    ):
        assert time.monotonic() < deadline


def found(client: httpx2.Client, query: dict[str, Any]) -> set[str]:
    answer = client.post("/v1/search", json=query)
    return {hit["asset"]["id"] for hit in answer.json().get("hits", [])}
