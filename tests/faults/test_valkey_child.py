"""The queue's own server: who keeps it, who takes it over, and that nothing stays."""

import fcntl
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import psutil
import pytest

from dinoserve.adapters.valkey_child import (
    carried_servers,
    find_server,
    shared_server,
)
from dinoserve.errors import DataFolderError, StartUpError

HOST = Path(__file__).parents[1] / "queue_host.py"
TIMEOUT_S = 20


def carried() -> str:
    [binary] = carried_servers()
    return binary


class Host:
    """A process that keeps a server in a folder."""

    def __init__(self, folder: Path, binary: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HOST), str(folder), binary],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def send(self, number: int) -> int:
        """Let it send a message; return how many wait then."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self) -> None:
        """Let it end as a server does that is asked to."""
        self.process.communicate(timeout=TIMEOUT_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(TIMEOUT_S)


def servers(folder: Path) -> list[psutil.Process]:
    """The Valkeys and Redises whose working directory is the folder."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            is_server = process.name() in {"valkey-server", "redis-server"}
            if is_server and process.cwd() == str(folder.resolve()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
            continue
    return found


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def until(is_so: Callable[[], bool]) -> None:
    """Return once it is so; no event tells of other processes."""
    deadline = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "a folder with spaces" / "queue"
    yield folder
    until(lambda: not servers(folder))


def test_what_was_sent_is_there_after_a_restart(folder: Path) -> None:
    with Host(folder, carried()) as host:
        host.send(1)
        host.end()
    with Host(folder, carried()) as host:
        assert host.send(2) == 2


def test_a_server_ends_with_its_host(folder: Path) -> None:
    with Host(folder, carried()) as host:
        host.end()

        assert servers(folder) == []
        assert host.process.returncode == 0


def test_a_server_ends_with_a_host_that_is_killed(folder: Path) -> None:
    with Host(folder, carried()) as host:
        assert len(servers(folder)) == 1
        host.kill()

        until(lambda: not servers(folder))


def test_what_was_sent_survives_a_host_that_is_killed(folder: Path) -> None:
    with Host(folder, carried()) as host:
        host.send(1)
        host.kill()
    with Host(folder, carried()) as host:
        assert host.send(2) == 2


def test_a_server_that_is_killed_is_started_again(folder: Path) -> None:
    with Host(folder, carried()) as host:
        for number in range(1, 4):
            host.send(number)
            [server] = servers(folder)
            server.kill()
            until(lambda gone=server: not gone.is_running())

        assert host.send(4) == 4
        assert host.process.poll() is None
        assert [
            child
            for child in psutil.Process(host.process.pid).children(recursive=True)
            if child.status() == psutil.STATUS_ZOMBIE
        ] == []


def test_two_hosts_share_one_server(folder: Path) -> None:
    with Host(folder, carried()) as one, Host(folder, carried()) as two:
        one.send(1)

        assert two.send(2) == 2
        assert len(servers(folder)) == 1


@pytest.mark.parametrize("death", [Host.kill, Host.end])
def test_a_living_host_takes_the_server_over(
    folder: Path, death: Callable[[Host], None]
) -> None:
    with Host(folder, carried()) as owner, Host(folder, carried()) as heir:
        owner.send(1)
        death(owner)

        assert heir.send(2) == 2
        assert len(servers(folder)) == 1


def test_nobody_takes_over_before_the_old_server_has_gone(folder: Path) -> None:
    with Host(folder, carried()) as owner, Host(folder, carried()) as heir:
        owner.send(1)
        [server] = servers(folder)
        server.suspend()
        try:
            owner.kill()
            with (folder / "lock").open() as lock, pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        finally:
            server.resume()

        assert heir.send(2) == 2


def test_many_hosts_that_start_at_once_share_one_server(folder: Path) -> None:
    hosts = [Host(folder, carried()) for _ in range(4)]
    with ExitStack() as stack:
        for host in hosts:
            stack.enter_context(host)

        assert [host.send(at) for at, host in enumerate(hosts)] == [1, 2, 3, 4]
        assert len(servers(folder)) == 1


def test_a_damaged_log_of_writes_is_moved_aside(folder: Path) -> None:
    with Host(folder, carried()) as host:
        host.send(1)
        host.end()
    for part in (folder / "appendonlydir").iterdir():
        part.write_bytes(b"no log of writes" * 100)

    with Host(folder, carried()) as host:
        assert host.send(2) == 1
    assert (folder / "damaged").is_dir()


def test_a_log_of_writes_that_was_cut_off_is_read_as_far_as_it_goes(
    folder: Path,
) -> None:
    with Host(folder, carried()) as host:
        host.send(1)
        host.end()
    [log] = (folder / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(log.read_bytes() + b"*3\r\n$3\r\nSE")

    with Host(folder, carried()) as host:
        assert host.send(2) == 2


async def test_nobody_else_can_reach_the_server(folder: Path) -> None:
    async with shared_server(folder, carried()):
        [server] = servers(folder)

        assert [mode(folder), mode(folder / "socket")] == [0o700, 0o700]
        assert [
            each for each in server.net_connections() if each.family != socket.AF_UNIX
        ] == []


async def test_a_path_that_is_too_long_for_a_socket_is_none_here(
    tmp_path: Path,
) -> None:
    folder = tmp_path / ("long" * 40)
    async with shared_server(folder, carried()):
        assert len(servers(folder)) == 1


@pytest.mark.needs("redis")
async def test_the_server_of_the_machine_serves_as_well(folder: Path) -> None:
    binary = shutil.which("redis-server")
    assert binary
    async with shared_server(folder, binary):
        assert [server.name() for server in servers(folder)] == ["redis-server"]


async def test_a_server_that_cannot_run_stops_the_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dinoserve.adapters.valkey_child.START_TIMEOUT_S", 0.5)

    with pytest.raises(StartUpError, match="DINOSERVE_QUEUE"):
        async with shared_server(folder, "/bin/false"):
            pass


async def test_a_folder_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(DataFolderError, match="DINOSERVE_DATA"):
        async with shared_server(tmp_path / "file" / "queue", carried()):
            pass


def test_an_old_server_on_the_path_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=0'\n")
    old.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_server() == carried()
