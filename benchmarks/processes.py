"""Child processes of a measurement: started, asked, and always ended."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, NoReturn
from urllib.parse import urlsplit

from benchmarks.protocol import READY, Sample
from pydantic import BaseModel

ROOT = Path(__file__).parents[1]
_START_S = 120
_STOP_S = 15
_POLL_S = 0.05
_LAST_WORDS = 2000
_ADDRESS = re.compile(r"(?:ready|running) on (http://127\.0\.0\.1:\d+)")
# Settings of the measured, of their libraries and of their threads.
_FOREIGN = (
    *("DINOSERVE_", "HF_", "TRANSFORMERS_", "UVICORN_", "TORCH_", "OMP_", "GOMP_"),
    *("LIT_", "LITSERVE_", "LIGHTNING_"),
)


class MeasuringError(Exception):
    """Nothing can be measured; the message says why."""


class Server(NamedTuple):
    """An HTTP server that is ready: its address without a path, and its process."""

    url: str
    pid: int

    def sleep(self) -> None:
        """Take its processors away, and those of all it started; it stays as it is."""
        os.killpg(self.pid, signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on."""
        os.killpg(self.pid, signal.SIGCONT)


class Worker:
    """A process that answers orders, see `benchmarks.protocol`."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process = process
        self._log = log
        self.pid = process.pid

    def ask(self, order: BaseModel) -> Sample:
        """Return the answer; blocks until it is there.

        Raises:
            MeasuringError: the process ended instead.
        """
        with suppress(BrokenPipeError):
            print(order.model_dump_json(), file=self._process.stdin, flush=True)
        return Sample.model_validate_json(self.hear())

    def kill(self) -> None:
        """End it as a power cut would; return once it has ended."""
        self._process.kill()
        self._process.wait()

    def hear(self) -> str:
        """Return its next line.

        Raises:
            MeasuringError: the process ended instead.
        """
        assert self._process.stdout
        if line := self._process.stdout.readline():
            return line.strip()
        raise _ended(self._log)


def stop(number: int, _frame: object) -> NoReturn:
    """Handle a signal by an exception, so that children are ended on the way out."""
    raise SystemExit(128 + number)


@contextmanager
def serving(
    arguments: Sequence[str], folder: Path, env: Mapping[str, str] | None = None
) -> Generator[Server]:
    """Run a server on a free port for the block; it says its address when ready.

    Args:
        arguments: of the interpreter that runs this.
        folder: made for it; its working folder and the place of its log.
        env: variables besides those of this process.

    Raises:
        MeasuringError: it ended before it was ready, or took too long.
    """
    folder.mkdir()
    log = folder / "log"
    with _child([sys.executable, *arguments], log, folder, env) as process:
        yield Server(_wait_for(process, log), process.pid)


@contextmanager
def listening(command: Sequence[str], folder: Path, port: int) -> Generator[int]:
    """Run any program for the block; yield its process id once it listens.

    Args:
        command: the program and its arguments.
        folder: made for it; its working folder and the place of its log.
        port: on loopback, where it will listen.

    Raises:
        MeasuringError: it ended before it listened, or took too long.
    """
    folder.mkdir()
    log = folder / "log"
    with _child(command, log, folder) as process:
        _wait_for(process, log, f"http://127.0.0.1:{port}")
        yield process.pid


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def working(module: str, *arguments: str, log: Path) -> Generator[Worker]:
    """Run a worker module for the block; it is ready when the block begins.

    Raises:
        MeasuringError: it ended before it was ready.
    """
    command = [sys.executable, "-m", module, *arguments]
    with _child(command, log, ROOT, talks=True) as process:
        worker = Worker(process, log)
        if (said := worker.hear()) != READY:
            raise MeasuringError(f"{module} said {said!r} instead of {READY!r}")
        yield worker


@contextmanager
def _child(
    command: Sequence[str],
    log: Path,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    *,
    talks: bool = False,
) -> Generator[subprocess.Popen[str]]:
    with (
        log.open("w") as stream,
        subprocess.Popen(
            command,
            cwd=cwd,
            env=environment() | dict(env or {}),
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=subprocess.PIPE if talks else stream,
            stderr=stream,
            text=True,
            # Ctrl-C is for the parent, which ends its children in order.
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            _end(process)


def environment() -> dict[str, str]:
    """Return this process's variables without those that would change a result."""
    kept = {
        key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN)
    }
    return kept | {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def _end(process: subprocess.Popen[str]) -> None:
    """End the process, and whatever it started and left behind."""
    try:
        process.terminate()
        # Who sleeps does not hear it.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_S)
    finally:
        # It leads a session, whose group has its number as long as any of it lives.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _wait_for(process: subprocess.Popen[str], log: Path, url: str = "") -> str:
    """Return the address, or else the one that its log tells, once it is served."""
    end = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < end:
        told = url or _told(log)
        if told and _accepts(told):
            return told
        time.sleep(_POLL_S)
    raise _ended(log)


def _told(log: Path) -> str:
    found = _ADDRESS.search(log.read_text())
    return found[1] if found else ""


def _accepts(url: str) -> bool:
    address = urlsplit(url)
    with suppress(OSError):
        socket.create_connection((address.hostname, address.port)).close()
        return True
    return False


def _ended(log: Path) -> MeasuringError:
    return MeasuringError(
        f"a child process ended or took too long; it said:\n"
        f"{log.read_text()[-_LAST_WORDS:]}"
    )
