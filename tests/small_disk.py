"""A disk of one megabyte; a test that mounts it is marked `needs("tmpfs")`."""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(folder: Path) -> Generator[Path]:
    """Mount a file system of 1 MiB at the folder for the time of the block."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)
