"""A real `dinoserve worker` process beside a server, with its output at hand."""

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

START_TIMEOUT_S = 90
STOP_TIMEOUT_S = 40
_PROBES = re.compile(r"health (http://\S+)/readyz")


class Worker:
    """Starts, tells and ends one worker.

    Args:
        data: becomes DINOSERVE_DATA; also the working folder, so no `.env` is read.
        options: of the command.
        env: further settings.
    """

    def __init__(self, data: Path, *options: str, **env: str) -> None:
        clean = {
            name: told
            for name, told in os.environ.items()
            if not name.startswith(("DINOSERVE_", "HF_"))
        }
        self._lines: list[str] = []
        self._news: SimpleQueue[str] = SimpleQueue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dinoserve", "worker", *options],
            cwd=data,
            env=clean | {"DINOSERVE_DATA": str(data)} | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        """What it has said; whole once it has ended."""
        return "".join(self._lines)

    @property
    def probes(self) -> str:
        """Where it answers probes; it must be ready."""
        match = _PROBES.search(self.output)
        assert match, self.output
        return match[1]

    def ready(self) -> Self:
        """Return it once it works."""
        self.said("chunks ")
        if "--health-port" in self.process.args:  # pyright: ignore[reportOperatorIssue] - a list
            self.said("health ")
        return self

    def said(self, text: str) -> None:
        """Wait until a new line holds the text; fail if it never does."""
        with contextlib.suppress(Empty):
            while line := self._news.get(timeout=START_TIMEOUT_S):
                if text in line:
                    return
        raise AssertionError(f"the worker did not say {text!r}:\n{self.output}")

    def tell(self, what: signal.Signals) -> None:
        """Send the signal, and do not wait for what comes of it."""
        self.process.send_signal(what)

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Return its exit code once it has ended."""
        code = self.process.wait(timeout_s)
        self._reader.join()
        return code

    def stop(self) -> int:
        """Ask it to end; return its exit code."""
        self.tell(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.wait()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout:
            for line in self.process.stdout:
                self._lines.append(line)
                self._news.put(line)
        self._news.put("")


@contextlib.contextmanager
def worker(data: Path, *options: str, **env: str) -> Generator[Worker]:
    """A worker for the block, ready at its start and ended whatever happens."""
    started = Worker(data, *options, **env)
    try:
        yield started.ready()
    finally:
        started.kill()
