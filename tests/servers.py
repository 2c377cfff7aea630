"""A real `dinoserve serve` process on a free port, with its output at hand."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Self

import httpx2

START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 40
_READY = re.compile(r"is ready on http://127\.0\.0\.1:(\d+)")


class Server:
    """Starts, kills and restarts a server on one data folder and port.

    Args:
        data: becomes DINOSERVE_DATA; also the working folder, so no `.env` is read.
        env: further settings.
    """

    def __init__(self, data: Path, **env: str) -> None:
        self.data = data
        self.port = 0
        self._env = env
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._lines: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has said since its first start; whole once it has ended."""
        return "".join(self._lines)

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def client(self, **headers: str) -> httpx2.Client:
        """A client of this server, patient enough for a busy machine."""
        return httpx2.Client(base_url=self.url, headers=headers, timeout=60)

    def start(self) -> Self:
        """Start and wait until it is ready; fail with its output if it is not."""
        ports = self.launch()
        try:
            self.port = ports.get(timeout=START_TIMEOUT_S) or self.port
        except Empty:
            self.kill()
        if not self.is_alive:
            raise AssertionError(f"the server did not start:\n{self.output}")
        return self

    def launch(self) -> SimpleQueue[int]:
        """Start without waiting; the port comes when it is ready, 0 when it ended."""
        self.data.mkdir(parents=True, exist_ok=True)
        clean = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("DINOSERVE_", "HF_"))
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dinoserve", "serve", "--port", str(self.port)],
            cwd=self.data,
            env=clean | {"DINOSERVE_DATA": str(self.data)} | self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        ports: SimpleQueue[int] = SimpleQueue()
        arguments = (self._process, ports)
        self._reader = threading.Thread(target=self._read, args=arguments, daemon=True)
        self._reader.start()
        return ports

    def wait(self) -> int:
        """Wait until the process ends by itself; return its exit code."""
        return self._ended(START_TIMEOUT_S)

    def refused(self) -> str:
        """Start it, to see it end by itself; return what it said.

        Fails unless the exit code is 2 and nobody is shown a traceback.
        """
        said = len(self.output)
        self.launch()
        assert self.wait() == 2, self.output[said:]
        assert "Traceback" not in self.output[said:]
        return self.output[said:]

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL, at once."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        return self._end(signal.SIGTERM)

    def tell(self, what: signal.Signals) -> None:
        """Send the signal, and do not wait for what comes of it."""
        os.kill(self.pid, what)

    def _end(self, how: signal.Signals) -> int:
        if self.is_alive:
            self.tell(how)
        return self._ended(STOP_TIMEOUT_S)

    def _ended(self, timeout_s: float) -> int:
        assert self._process
        assert self._reader
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        self._reader.join()
        return code

    def _read(self, process: subprocess.Popen[str], ports: SimpleQueue[int]) -> None:
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
                self._lines.append(line)
                if match := _READY.search(line):
                    ports.put(int(match[1]))
        ports.put(0)


@contextlib.contextmanager
def running(data: Path, **env: str) -> Generator[Server]:
    """A server for the block, stopped whatever happens."""
    server = Server(data, **env).start()
    try:
        yield server
    finally:
        server.kill()
