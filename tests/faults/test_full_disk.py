"""A full disk: a clear answer, nothing by halves, and work goes on once there is room.

The disk is a small tmpfs, so that filling it costs little and hurts nobody.
"""

import io
import shutil
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image

from odd_files import photo
from servers import Server, running
from stored import (
    check_nothing_is_half_visible,
    data_uri,
    integrity,
    search,
    upload,
    uploaded,
)

DISK = "32m"  # half of it is the reserve that is never filled

pytestmark = pytest.mark.needs("tmpfs")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a small disk."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(tmp_path)]
    subprocess.run(mount, check=True)
    yield tmp_path
    # The server of the queue may still be on its way out.
    subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


@pytest.fixture
def server(disk: Path) -> Iterator[Server]:
    with running(disk, DINOSERVE_MODEL="stub") as server:
        yield server


def test_a_full_object_store_refuses_uploads_and_keeps_what_it_has(
    server: Server,
) -> None:
    with server.client() as client:
        kept = fill(client)
        assert len(kept) > 3
        for key, data in kept.items():
            assert client.get(f"/v1/assets/{key}/content").content == data
            assert search(client, {"image": data_uri(data)}, k=1)[key] >= 0.999
        assert check_nothing_is_half_visible(server).keys() == kept.keys()


def test_deleting_makes_room_again(server: Server) -> None:
    with server.client() as client:
        kept = fill(client)
        for key in kept:
            assert client.delete(f"/v1/assets/{key}").status_code == 204
        assert upload(client, noise(1000)).status_code == 201
        assert client.get("/readyz").json()["ready"]
        check_nothing_is_half_visible(server)


def test_a_full_database_refuses_changes_and_still_answers(server: Server) -> None:
    with server.client() as client:
        data = photo(1)
        key = uploaded(client, data)
        with no_room(server.data):
            assert change_until_full(client, key) == "documents"
            assert full(upload(client, photo(2))) == "documents"
            assert full(client.delete(f"/v1/assets/{key}")) == "documents"
            assert client.get("/v1/assets").status_code == 200
            assert client.get("/readyz").json()["ready"]
        assert client.patch(f"/v1/assets/{key}", json={"tags": ["x"]}).is_success
        assert upload(client, photo(3)).status_code == 201
        assert client.get(f"/v1/assets/{key}/content").content == data
        check_nothing_is_half_visible(server)
        assert server.stop() == 0
    assert integrity(server.data) == "ok"


def test_a_disk_that_was_full_at_a_kill_holds_nothing_by_halves(
    server: Server,
) -> None:
    with server.client() as client:
        kept = fill(client)
    server.kill()
    server.start()
    assert check_nothing_is_half_visible(server).keys() == kept.keys()


def test_a_full_disk_for_temporary_files_is_told(disk: Path) -> None:
    temporary = disk / "temporary"
    temporary.mkdir()
    with (
        running(disk / "data", DINOSERVE_MODEL="stub", TMPDIR=str(temporary)) as server,
        server.client() as client,
    ):
        # Beyond a megabyte, an upload waits on the disk while it arrives.
        upload(client, noise(1) * 3)
        with no_room(disk):
            assert full(upload(client, noise(2) * 3)) == "temporary"


def test_a_start_on_a_full_disk_is_refused_and_loses_nothing(server: Server) -> None:
    with server.client() as client:
        key = uploaded(client, photo(1))
    assert server.stop() == 0
    with no_room(server.data):
        assert "documents.sqlite cannot be opened" in server.refused()
    server.start()
    with server.client() as client:
        assert client.get(f"/v1/assets/{key}").status_code == 200


def fill(client: httpx2.Client) -> dict[str, bytes]:
    """Upload until nothing fits; return what was acknowledged, by asset id."""
    kept: dict[str, bytes] = {}
    for seed in count():
        answer = upload(client, data := noise(seed))
        if not answer.is_success:
            assert full(answer) == "objects"
            break
        kept[answer.json()["id"]] = data
    return kept


def change_until_full(client: httpx2.Client, key: str) -> str:
    """Change the asset until that fails; return the port that was full."""
    for number in count():
        metadata = {"n": number, "long": "x" * 16_000}
        answer = client.patch(f"/v1/assets/{key}", json={"metadata": metadata})
        if not answer.is_success:
            return full(answer)
    raise AssertionError


def full(answer: httpx2.Response) -> str:
    """Return the port that was full, from an answer that must say so."""
    assert answer.status_code == 507, answer.text
    problem = answer.json()
    assert problem["type"] == "/problems/storage-full"
    return str(problem["port"])


@contextmanager
def no_room(disk: Path) -> Generator[None]:
    """Fill the disk to its last byte for the block."""
    filler = disk / "filler"
    filler.write_bytes(b"\0" * shutil.disk_usage(disk).free)
    yield
    filler.unlink()


def noise(seed: int) -> bytes:
    """Return a picture of about 750 kB that no encoder makes smaller."""
    pixels = np.random.default_rng(seed).integers(0, 256, (500, 500, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=0)
    return file.getvalue()
