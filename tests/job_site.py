"""A server that leaves jobs to workers, on real stores, and workers that may die."""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx2

HOST = Path(__file__).parent / "job_host.py"
DEADLINE_S = 90
LEASE_S = 1


class Process:
    """One process of the host; it may be stopped, continued and killed.

    Args:
        pid: of it; no other can have it before `kill` has returned.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._end = os.pidfd_open(pid)

    def __del__(self) -> None:
        os.close(self._end)

    def tell(self, what: signal.Signals) -> None:
        """Send the signal, and do not wait for what comes of it."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._end, what)

    @property
    def is_alive(self) -> bool:
        return not select.select([self._end], [], [], 0)[0]

    def wait(self) -> None:
        """Return once it has ended."""
        assert select.select([self._end], [], [], DEADLINE_S)[0]

    def kill(self) -> None:
        """End it as a power cut would; return once it has ended."""
        self.tell(signal.SIGKILL)
        self.wait()


class Host:
    """Forks what it is asked for, and keeps every line that its processes say."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._news = threading.Condition()
        clean = {
            name: told
            for name, told in os.environ.items()
            if not name.startswith(("DINOSERVE_", "HF_"))
        }
        self._process = subprocess.Popen(
            [sys.executable, str(HOST)],
            env=clean,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def fork(self, **order: Any) -> Process:
        """Return the process that the order makes."""
        since = len(self.lines)
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return Process(int(self.said(r"^forked (\d+)", since)[1]))

    def said(self, pattern: str, since: int = 0, times: int = 1) -> re.Match[str]:
        """Return the match once that many lines from `since` on have one; the last."""
        found = self._found(pattern, since, times, DEADLINE_S)
        told = "".join(self.lines[-60:])
        assert found, f"nobody said {pattern!r}:\n{told}"
        return found

    def is_said(self, pattern: str, within: float) -> bool:
        """Wait so many seconds for a line that has a match; tell whether it came."""
        return self._found(pattern, 0, 1, within) is not None

    def _found(
        self, pattern: str, since: int, times: int, within: float
    ) -> re.Match[str] | None:
        wanted = re.compile(pattern)
        deadline = time.monotonic() + within
        matches: list[re.Match[str]] = []
        with self._news:
            while True:
                lines, since = self.lines[since:], len(self.lines)
                matches += filter(None, map(wanted.search, lines))
                if len(matches) >= times:
                    return matches[times - 1]
                left = deadline - time.monotonic()
                if left < 0 or not self._news.wait(left):
                    return None

    def last(self, pattern: str) -> re.Match[str]:
        """Return the match of the last line that has one."""
        wanted = re.compile(pattern)
        return next(
            found for line in self.lines[::-1] if (found := wanted.search(line))
        )

    def close(self) -> None:
        """End it; its processes are the caller's."""
        with self._process:
            self._process.kill()
            self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()


@dataclass
class JobSite:
    """One data folder, its server, and the workers beside it.

    Attributes:
        env: settings that all of them have.
    """

    host: Host
    data: Path
    env: dict[str, str]
    url: str = ""
    server: Process | None = None
    workers: list[Process] = field(default_factory=list[Process])

    def start(self) -> Self:
        """Start the server, or start it again."""
        since = len(self.host.lines)
        self.server = self.host.fork(**self._order("server"))
        match = self.host.said(r"is ready on (http://\S+)", since)
        self.url = match[1]
        return self

    def client(self) -> httpx2.Client:
        """A client of the server."""
        return httpx2.Client(base_url=self.url, timeout=60)

    def worker(
        self, *, pause_s: float = 0.02, crashes: int = 9, **small: int
    ) -> Process:
        """Start a worker; it may not be ready yet.

        Args:
            pause_s: before each chunk.
            crashes: after which a chunk is buried.
            small: items of a chunk, by kind; else 2 for `embed`, and as ever.
        """
        small = {"embed": 2, **small}
        how = {"small": small, "pause_s": pause_s, "crashes": crashes}
        self.workers.append(self.host.fork(**self._order("worker"), **how))
        return self.workers[-1]

    def has_worker(self, **how: Any) -> bool:
        """Start a worker if the last one has died; tell whether it lives."""
        if not self.workers or not self.workers[-1].is_alive:
            self.worker(**how)
        return self.workers[-1].is_alive

    def end(self) -> None:
        """Kill everything."""
        for process in [*self.workers, self.server]:
            if process:
                process.kill()

    def _order(self, role: str) -> dict[str, Any]:
        return {"as": role, "env": {"DINOSERVE_DATA": str(self.data), **self.env}}


@contextlib.contextmanager
def job_site(data: Path, **env: str) -> Generator[JobSite]:
    """A site for the block, with the stub model; everything is killed at its end."""
    data.mkdir(parents=True, exist_ok=True)
    host = Host()
    base = {
        "DINOSERVE_MODEL": "stub",
        "DINOSERVE_JOB_SLOTS": "0",
        "DINOSERVE_JOB_LEASE_S": str(LEASE_S),
        "DINOSERVE_LOG_LEVEL": "warning",
    }
    site = JobSite(host, data, base | env)
    try:
        yield site.start()
    finally:
        site.end()
        host.close()


def until(is_so: Callable[[], bool]) -> None:
    """Return once it is so; fail if that never comes."""
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)
