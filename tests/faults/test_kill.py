"""`kill -9` under load: what was acknowledged is there, and nothing is by halves."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from random import Random

import httpx2

from odd_files import photo
from servers import Server, running
from stored import (
    check_nothing_is_half_visible,
    data_uri,
    integrity,
    row_counts,
    search,
    upload,
    uploaded,
)

ROUNDS = 6
CLIENTS = 4
PATIENCE_S = 30

Act = Callable[[httpx2.Client, int], None]


def test_every_acknowledged_upload_survives_every_kill(tmp_path: Path) -> None:
    random, seeds = Random(20_261_123), count()
    acknowledged: dict[str, bytes] = {}

    def give(client: httpx2.Client, seed: int) -> None:
        data = picture(seed)
        answer = upload(client, data, tags=["load"], metadata=f'{{"seed": {seed}}}')
        assert answer.status_code == 201
        acknowledged[answer.json()["id"]] = data

    with running(tmp_path, DINOSERVE_MODEL="stub") as server:
        for _ in range(ROUNDS):
            kill_under_load(server, give, seeds, after=random.randint(8, 40))
            server.start()
            assets = check_nothing_is_half_visible(server)
            assert acknowledged.keys() <= assets.keys()
        assert len(acknowledged) > ROUNDS * CLIENTS
        with server.client() as client:
            for key, data in acknowledged.items():
                assert client.get(f"/v1/assets/{key}/content").content == data
                found = search(client, {"image": data_uri(data)}, k=1)
                assert found[key] >= 0.999
        assert server.stop() == 0
    assert integrity(tmp_path) == "ok"


def test_every_acknowledged_delete_stays_deleted_after_every_kill(
    tmp_path: Path,
) -> None:
    random, numbers = Random(20_261_124), count()
    pictures = [picture(10_000 + number) for number in range(120)]
    erased: dict[str, bytes] = {}
    with running(tmp_path, DINOSERVE_MODEL="stub") as server:
        with server.client() as client, ThreadPoolExecutor(CLIENTS) as callers:
            keys = list(callers.map(partial(uploaded, client), pictures))

        def erase(client: httpx2.Client, number: int) -> None:
            key = keys[number % len(keys)]
            status = client.delete(f"/v1/assets/{key}").status_code
            assert status in {204, 404}
            erased[key] = pictures[number % len(keys)]

        for _ in range(3):
            kill_under_load(server, erase, numbers, after=random.randint(8, 30))
            server.start()
            assert not erased.keys() & check_nothing_is_half_visible(server).keys()
        assert erased
        assert row_counts(tmp_path)["garbage"] == 0
        with server.client() as client:
            for data in erased.values():
                found = search(client, {"image": data_uri(data)}, k=1000)
                assert not erased.keys() & found.keys()
    assert integrity(tmp_path) == "ok"


def kill_under_load(
    server: Server, act: Act, numbers: Iterator[int], *, after: int
) -> None:
    """Let clients act, and kill the server once so many requests were begun."""
    begun = threading.Semaphore(0)

    def insist() -> None:
        # A connection that breaks was killed; whatever was answered is judged.
        with suppress(httpx2.TransportError), server.client() as client:
            while True:
                number = next(numbers)
                begun.release()
                act(client, number)

    with ThreadPoolExecutor(CLIENTS) as callers:
        clients = [callers.submit(insist) for _ in range(CLIENTS)]
        for _ in range(after):
            assert begun.acquire(timeout=PATIENCE_S)
        server.kill()
    for client in clients:
        client.result()


def picture(seed: int) -> bytes:
    """Return a small picture, so that stores and not decoding bear the load."""
    return photo(seed, 96, 64)
