"""Starting, stopping, refusing to start, and who may come in."""

import hashlib
import socket
from pathlib import Path

import pytest

from odd_files import photo
from servers import Server, running
from stored import data_uri, listed, search, uploaded

KEY = "correct-horse-battery-staple"
DIGEST = f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()}"


def test_a_restart_keeps_everything(tmp_path: Path) -> None:
    query = {"image": data_uri(photo(2))}
    with running(tmp_path, DINOSERVE_MODEL="stub") as server:
        with server.client() as client:
            for seed in range(5):
                uploaded(client, photo(seed), tags=["kept"])
            before = listed(client), search(client, query)
        assert server.stop() == 0
        log = tmp_path / "documents.sqlite-wal"
        assert not log.exists(), "the log was not written back into the database"
        server.start()
        with server.client() as client:
            assert (listed(client), search(client, query)) == before


def test_a_second_server_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    with running(tmp_path, DINOSERVE_MODEL="stub") as server:
        second = Server(tmp_path, DINOSERVE_MODEL="stub")
        assert f"in use by process {server.pid}" in second.refused()
        with server.client() as client:
            assert client.get("/readyz").status_code == 200


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    server = Server(tmp_path, DINOSERVE_MODEL="stub")
    with socket.create_server(("127.0.0.1", 0)) as other:
        server.port = other.getsockname()[1]
        assert f"127.0.0.1:{server.port} cannot be listened on" in server.refused()


def test_an_open_address_without_a_key_is_refused(tmp_path: Path) -> None:
    server = Server(tmp_path, DINOSERVE_MODEL="stub", DINOSERVE_HOST="0.0.0.0")
    assert "Set DINOSERVE_API_KEYS" in server.refused()


def test_a_wrong_setting_is_refused_by_its_name(tmp_path: Path) -> None:
    assert (
        "DINOSERVE_MAX_INPUTS" in Server(tmp_path, DINOSERVE_MAX_INPUTS="x").refused()
    )


@pytest.mark.parametrize("setting", [KEY, DIGEST, f"another-key,{KEY}"])
def test_only_a_right_key_opens_the_door(tmp_path: Path, setting: str) -> None:
    env = {"DINOSERVE_MODEL": "stub", "DINOSERVE_API_KEYS": setting}
    with running(tmp_path, **env) as server, server.client() as client:

        def status(path: str = "/v1/assets", **headers: str) -> int:
            return client.get(path, headers=headers).status_code

        assert status() == 401
        assert status(authorization="Bearer wrong") == 401
        assert status(authorization=f"Bearer {DIGEST}") == 401
        assert status("/metrics") == 401
        assert status(authorization=f"Bearer {KEY}") == 200
        assert status(**{"x-api-key": KEY}) == 200
        assert (status("/livez"), status("/readyz")) == (200, 200)


def test_a_key_is_never_told(tmp_path: Path) -> None:
    env = {"DINOSERVE_API_KEYS": KEY, "DINOSERVE_LOG_LEVEL": "debug"}
    with running(tmp_path, DINOSERVE_MODEL="stub", **env) as server:
        with server.client(authorization=f"Bearer {KEY}") as client:
            uploaded(client, photo(1))
            client.get("/nowhere")
        assert server.stop() == 0
        assert "POST /v1/assets 201" in server.output
        assert KEY not in server.output
