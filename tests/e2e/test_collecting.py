"""A serving process removes what belongs to no asset, and nothing else."""

import os
import time
from pathlib import Path

from odd_files import photo
from servers import running
from stored import object_names, sha256, uploaded

DEADLINE_S = 20


def astray(folder: Path, name: str) -> Path:
    """Store an object two hours ago, without anyone telling the server."""
    path = folder / name[:2] / name[2:4] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"nobody's bytes")
    then = time.time() - 7200
    os.utime(path, (then, then))
    return path


def test_old_bytes_of_nobody_go_while_the_server_serves(tmp_path: Path) -> None:
    env = {"DINOSERVE_MODEL": "stub", "DINOSERVE_COLLECT_HOURS": "0.00005"}
    data = photo(1, 64, 48)
    with running(tmp_path, **env) as server, server.client() as client:
        key = uploaded(client, data)
        orphan = astray(tmp_path / "objects", sha256(b"orphan"))
        rendition = astray(tmp_path / "derived", sha256(b"gone")[:32] + "0" * 32)
        kept = astray(tmp_path / "derived", sha256(data)[:32] + "0" * 32)
        deadline = time.monotonic() + DEADLINE_S
        figures = ""
        while 'collected_objects_total{what="derived"} 1.0' not in figures:
            assert time.monotonic() < deadline, server.output
            figures = client.get("/metrics").text
        assert 'collected_objects_total{what="originals"} 1.0' in figures
        assert not orphan.exists()
        assert not rendition.exists()
        assert kept.exists()
        assert object_names(tmp_path) == {sha256(data)}
        assert client.get(f"/v1/assets/{key}/content").content == data
