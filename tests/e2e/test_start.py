"""Starting, stopping, refusing to start, and who may come in."""

import hashlib
import socket
from pathlib import Path

import psutil
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
        second = refused(tmp_path)
        assert f"in use by process {server.pid}" in second.output
        with server.client() as client:
            assert client.get("/readyz").status_code == 200


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = refused(tmp_path, port=port)
    assert f"127.0.0.1:{port}" in server.output
    assert "Traceback" not in server.output


def test_an_open_address_without_a_key_is_refused(tmp_path: Path) -> None:
    server = refused(tmp_path, DINOSERVE_HOST="0.0.0.0")
    assert "DINOSERVE_API_KEYS" in server.output


def test_a_wrong_setting_is_refused_by_its_name(tmp_path: Path) -> None:
    server = refused(tmp_path, DINOSERVE_MAX_INPUTS="many")
    assert "DINOSERVE_MAX_INPUTS" in server.output


def refused(data: Path, port: int = 0, **env: str) -> Server:
    """Return a server that ended by itself with exit code 2 and without a traceback."""
    server = Server(data, **{"DINOSERVE_MODEL": "stub"} | env)
    server.port = port
    server.launch()
    assert server.wait() == 2, server.output
    assert "Traceback" not in server.output
    return server


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


@pytest.mark.parametrize("model", ["stub", "bundled"])
def test_a_started_server_has_reached_out_to_nobody(tmp_path: Path, model: str) -> None:
    with running(tmp_path, DINOSERVE_MODEL=model) as server:
        [only] = psutil.Process(server.pid).net_connections("inet")
        assert only.status == psutil.CONN_LISTEN
        assert only.laddr == ("127.0.0.1", server.port)
