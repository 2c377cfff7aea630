"""A real `dinoserve serve` process on a free port, with its output at hand."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 40


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
        self._lines: list[str] = []
        self._ready = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def output(self) -> str:
        return "".join(self._lines)

    def start(self) -> Self:
        """Start and wait until it is ready; fail with its output if it is not."""
        self.launch()
        if not self._ready.wait(START_TIMEOUT_S) or not self.port:
            self.kill()
            raise AssertionError(f"the server did not start:\n{self.output}")
        return self

    def launch(self) -> None:
        """Start without waiting."""
        self.data.mkdir(parents=True, exist_ok=True)
        clean = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("DINOSERVE_", "HF_"))
        }
        command = [sys.executable, "-m", "dinoserve", "serve", "--port", str(self.port)]
        self._ready.clear()
        self._process = subprocess.Popen(
            command,
            cwd=self.data,
            env=clean | {"DINOSERVE_DATA": str(self.data)} | self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    def wait(self) -> int:
        """Wait until the process ends by itself; return its exit code."""
        assert self._process
        return self._process.wait(START_TIMEOUT_S)

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL, at once."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        assert self._process
        if self._process.poll() is None:
            self._process.send_signal(how)
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
                self._lines.append(line)
                if match := re.search(r"is ready on http://127\.0\.0\.1:(\d+)", line):
                    self.port = int(match[1])
                    self._ready.set()
        self._ready.set()


@contextlib.contextmanager
def running(data: Path, **env: str) -> Iterator[Server]:
    """A server for the block, stopped whatever happens."""
    server = Server(data, **env).start()
    try:
        yield server
    finally:
        server.kill()
