"""A full disk: a clear answer, nothing by halves, and work goes on once there is room.

The disk is a small tmpfs, so that filling it costs little and hurts nobody.
"""

import io
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import httpx2
import numpy as np
import pytest
from odd_files import photo
from PIL import Image
from servers import Server, running
from stored import (
    check_nothing_is_half_visible,
    data_uri,
    integrity,
    search,
    sha256,
    upload,
    uploaded,
)

DISK = "8m"

pytestmark = pytest.mark.needs("tmpfs")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that holds 8 MiB."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(tmp_path)]
    subprocess.run(mount, check=True)
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


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
        for key in list(kept)[:2]:
            assert client.delete(f"/v1/assets/{key}").status_code == 204
        assert upload(client, noise(1000)).status_code == 201
        assert client.get("/readyz").json()["ready"]
        check_nothing_is_half_visible(server)


def test_a_full_database_refuses_changes_and_still_answers(server: Server) -> None:
    with server.client() as client:
        data = photo(1)
        key = uploaded(client, data)
        with no_room(server.data):
            problem = change_until_full(client, key)
            assert problem["port"] == "documents"
            refusal = upload(client, photo(2))
            assert refusal.status_code == 507
            assert client.delete(f"/v1/assets/{key}").status_code in {204, 507}
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


def test_a_server_on_a_full_disk_starts_or_says_why_not(server: Server) -> None:
    with server.client() as client:
        key = uploaded(client, photo(1))
    assert server.stop() == 0
    with no_room(server.data):
        server.launch()
        assert server.wait() == 2
        assert "Traceback" not in server.output
        assert "room" in server.output
    server.start()
    with server.client() as client:
        assert client.get(f"/v1/assets/{key}").status_code == 200


def fill(client: httpx2.Client) -> dict[str, bytes]:
    """Upload until nothing fits; return what was acknowledged, by asset id."""
    kept: dict[str, bytes] = {}
    for seed in count():
        data = noise(seed)
        answer = upload(client, data)
        if not answer.is_success:
            break
        kept[answer.json()["id"]] = data
    assert answer.status_code == 507, answer.text
    problem = answer.json()
    assert (problem["type"], problem["port"]) == ("/problems/storage-full", "objects")
    return kept


def change_until_full(client: httpx2.Client, key: str) -> dict[str, str]:
    """Change the asset until the database is full; return the problem."""
    for number in range(1000):
        metadata = {"n": number, "long": "x" * 16_000}
        answer = client.patch(f"/v1/assets/{key}", json={"metadata": metadata})
        if not answer.is_success:
            break
    assert answer.status_code == 507, answer.text
    assert answer.json()["type"] == "/problems/storage-full"
    return answer.json()


@contextmanager
def no_room(disk: Path) -> Iterator[None]:
    """Fill the disk to its last byte for the block."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="space"):
        while True:
            file.write(b"\0" * 4096)
    yield
    filler.unlink()


def noise(seed: int) -> bytes:
    """Return a picture of about 750 kB that no encoder makes smaller."""
    pixels = np.random.default_rng(seed).integers(0, 256, (500, 500, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=0)
    return file.getvalue()
