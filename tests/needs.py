"""What some tests need of the machine, how to tell, and who must have it."""

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

MONGODB_URL = "DINOSERVE_TEST_MONGODB_URL"
MONGODB_SEARCH_URL = "DINOSERVE_TEST_MONGODB_SEARCH_URL"
MONGODB_SERVER = Path(__file__).parents[1] / ".venv/servers/bin/secantusd-py"
S3_URL = "DINOSERVE_TEST_S3_URL"
MOTO_SERVER = Path(__file__).parents[1] / ".venv/servers/bin/moto_server"
_CEPH = ("ceph", "ceph-mon", "ceph-osd", "radosgw", "radosgw-admin")
REDIS_URL = "DINOSERVE_TEST_REDIS_URL"
QDRANT_URL = "QDRANT_URL"
ARANGO_URL = "ARANGO_URL"
PATHRAG_URL = "PATHRAG_URL"


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


def _has_mongodb() -> bool:
    return bool(os.environ.get(MONGODB_URL)) or MONGODB_SERVER.exists()


def _has_ceph() -> bool:
    return os.geteuid() == 0 and all(shutil.which(name) for name in _CEPH)


def _has_s3() -> bool:
    return bool(os.environ.get(S3_URL)) or _has_ceph()


def _has_torchvision() -> bool:
    return importlib.util.find_spec("torchvision") is not None


NEEDS = {
    "tmpfs": Need(_can_mount_tmpfs, "run as root, with mount", True),
    "openssl": Need(
        lambda: shutil.which("openssl") is not None, "apt-get install openssl", True
    ),
    "systemd": Need(
        lambda: shutil.which("systemd-analyze") is not None,
        "apt-get install systemd",
        True,
    ),
    "nginx": Need(
        lambda: shutil.which("nginx") is not None, "as root, make servers", True
    ),
    "curl": Need(
        lambda: shutil.which("curl") is not None, "apt-get install curl", True
    ),
    "chromium": Need(
        lambda: shutil.which("chromium") is not None,
        "apt-get install chromium",
        True,
    ),
    "torchvision": Need(
        _has_torchvision, "pip install torchvision (no CPU build exists)", False
    ),
    "mongodb": Need(
        _has_mongodb,
        "`make test` installs the test server of tests/servers.txt beside the tests; if"
        " it is no longer offered, name a real one in DINOSERVE_TEST_MONGODB_URL",
        True,
    ),
    "qdrant": Need(
        lambda: bool(os.environ.get(QDRANT_URL)),
        f"name an empty Qdrant server in {QDRANT_URL}",
        False,
    ),
    "arangodb": Need(
        lambda: bool(os.environ.get(ARANGO_URL)),
        f"name a real ArangoDB in {ARANGO_URL} (arangodb://USER:PASSWORD@HOST:PORT)",
        False,
    ),
    "pathrag": Need(
        lambda: bool(os.environ.get(PATHRAG_URL)),
        f"name an empty PathRAG server in {PATHRAG_URL} (http://HOST:PORT)",
        False,
    ),
    "mongodb-search": Need(
        lambda: MONGODB_SEARCH_URL in os.environ,
        f"name an Atlas, or a MongoDB with mongot, in {MONGODB_SEARCH_URL}",
        False,
    ),
    "moto": Need(
        MOTO_SERVER.exists,
        "`make test` installs the test server of tests/servers.txt beside the tests",
        True,
    ),
    "ceph": Need(_has_ceph, "as root, make servers", True),
    "s3": Need(
        _has_s3,
        f"as root, make servers; or name a real bucket in {S3_URL}",
        True,
    ),
    "redis": Need(
        lambda: shutil.which("redis-server") is not None,
        "as root, make servers",
        True,
    ),
    "time": Need(
        lambda: "DINOSERVE_TEST_LONG" in os.environ,
        "set DINOSERVE_TEST_LONG for tests that take minutes each",
        False,
    ),
    "real-weights": Need(
        lambda: "DINOSERVE_TEST_WEIGHTS" in os.environ,
        "set DINOSERVE_TEST_WEIGHTS to a folder of downloaded models",
        False,
    ),
}
