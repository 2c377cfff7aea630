"""What some tests need of the machine, how to tell, and who must have it."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from typing import NamedTuple


class Need(NamedTuple):
    """Something a machine may lack.

    Attributes:
        is_met: tells whether it is there.
        remedy: what a person does to have it.
        is_required_in_ci: CI can install it, so there its absence is a failure.
    """

    is_met: Callable[[], bool]
    remedy: str
    is_required_in_ci: bool


def _can_mount_tmpfs() -> bool:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            return False
        return subprocess.run(["umount", folder], check=False).returncode == 0


def _has_torchvision() -> bool:
    return importlib.util.find_spec("torchvision") is not None


NEEDS = {
    "tmpfs": Need(_can_mount_tmpfs, "run as root, with mount", True),
    "openssl": Need(
        lambda: shutil.which("openssl") is not None, "apt-get install openssl", True
    ),
    "curl": Need(
        lambda: shutil.which("curl") is not None, "apt-get install curl", True
    ),
    "torchvision": Need(
        _has_torchvision, "pip install torchvision (no CPU build exists)", False
    ),
    "real-weights": Need(
        lambda: "DINOSERVE_TEST_WEIGHTS" in os.environ,
        "set DINOSERVE_TEST_WEIGHTS to a folder of downloaded models",
        False,
    ),
}
