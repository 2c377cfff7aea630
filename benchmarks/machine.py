"""What the figures were measured on, without the machine's name or paths."""

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil
from pydantic import BaseModel

_CPUINFO = Path("/proc/cpuinfo")
_GIB = 2**30


class Machine(BaseModel):
    """The hardware and the software that decide how fast it goes.

    Attributes:
        cpu: the processor's own name.
        cores: that this process may run on.
        memory_gib: of the whole machine.
        system: kernel and architecture, e.g. `Linux x86_64`.
    """

    cpu: str
    cores: int
    memory_gib: int
    system: str
    python: str
    torch: str
    transformers: str

    def __str__(self) -> str:
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory_gib} GiB, {self.system},"
            f" Python {self.python}, torch {self.torch},"
            f" transformers {self.transformers}"
        )

    @property
    def slug(self) -> str:
        """Return a file name that says which machine it was."""
        words = f"{self.cpu} {self.cores} cores {self.memory_gib} gib"
        return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")


def this_machine() -> Machine:
    """Return what this process runs on."""
    return Machine(
        cpu=_cpu(),
        cores=_cores(),
        memory_gib=round(psutil.virtual_memory().total / _GIB),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        torch=version("torch"),
        transformers=version("transformers"),
    )


def this_commit(root: Path) -> str:
    """Return the commit that is measured; `-dirty` if tracked files differ from it."""
    command = ["git", "--no-optional-locks", "describe", "--always", "--dirty"]
    try:
        told = subprocess.run(
            [*command, "--exclude=*"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return told.stdout.strip()


def _cpu() -> str:
    if _CPUINFO.exists():
        found = re.search(
            r"^model name\s*:\s*(.+)$", _CPUINFO.read_text(), re.MULTILINE
        )
        if found:
            return re.sub(r"\s+", " ", found[1])
    return platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
