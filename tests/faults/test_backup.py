"""A copy made while the server works: database first, originals second."""

import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path

from odd_files import photo
from servers import running
from stored import data_uri, listed, search, sha256, uploaded


def test_a_copy_of_a_running_server_holds_every_asset_whole(tmp_path: Path) -> None:
    seeds, done = count(), threading.Event()
    copy = tmp_path / "copy"
    with running(tmp_path / "data", DINOSERVE_MODEL="stub") as server:

        def insist() -> None:
            with server.client() as client:
                while not done.is_set():
                    uploaded(client, photo(next(seeds), 96, 64))

        with server.client() as client, ThreadPoolExecutor(2) as callers:
            before = {uploaded(client, photo(10_000 + at, 96, 64)) for at in range(20)}
            load = [callers.submit(insist) for _ in range(2)]
            back_up(server.data, copy)
            done.set()
            for caller in load:
                caller.result()
    stub = {"DINOSERVE_MODEL": "stub"}
    with running(copy, **stub) as restored, restored.client() as client:
        assets = listed(client)
        assert before <= assets.keys()
        for key, asset in assets.items():
            content = client.get(f"/v1/assets/{key}/content").content
            assert sha256(content) == asset["sha256"]
        first = {"image": data_uri(photo(10_000, 96, 64))}
        assert max(search(client, first, k=1).values()) >= 0.999


def back_up(data: Path, copy: Path) -> None:
    """Copy as docs/operations.md says."""
    copy.mkdir()
    source = sqlite3.connect(
        f"{(data / 'documents.sqlite').as_uri()}?mode=ro", uri=True
    )
    target = sqlite3.connect(copy / "documents.sqlite")
    with closing(source), closing(target):
        source.backup(target)
    in_progress = shutil.ignore_patterns("*#*")
    shutil.copytree(data / "objects", copy / "objects", ignore=in_progress)
