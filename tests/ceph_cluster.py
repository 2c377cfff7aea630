"""Ceph's S3 gateway over a store in memory: one monitor, one OSD, one gateway.

Needs root and Debian's packages, see `needs.py`. It listens on this machine only.
"""

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self
from uuid import uuid4

START_TIMEOUT_S = 60
# Without authentication of its own parts the gateway hangs; customer keys over plain
# HTTP are refused unless it is told; quotas are looked up anew each time.
_CONFIG = """
[global]
fsid = {fsid}
mon initial members = a
mon host = v2:127.0.0.1:{monitor_port}
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
mon data avail crit = 1
keyring = {folder}/keyring
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
run dir = {folder}
log file = {folder}/$name.log
admin socket = {folder}/$name.$pid.asok
[mon.a]
mon data = {folder}/mon
[osd]
osd objectstore = memstore
osd data = {folder}/osd
osd journal = {folder}/osd/journal
memstore device bytes = 2147483648
[client]
rgw frontends = beast endpoint=127.0.0.1:{gateway_port}
rgw crypt require ssl = false
rgw bucket quota ttl = 0
rgw dynamic resharding = false
rgw enable gc threads = false
rgw enable lc threads = false
rgw enable quota threads = false
rgw enable usage log = false
"""


class CephCluster:
    """Starts a cluster, and kills and restarts its gateway."""

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="ceph-")
        self._folder = Path(self._home.name)
        self._port = _free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def output(self) -> str:
        """What its parts have said since their start."""
        return (self._folder / "output").read_text(errors="replace")

    def start(self) -> Self:
        """Make and start all of it; fail with its output if it does not answer."""
        settings = {"fsid": str(uuid4()), "monitor_port": _free_port()}
        settings |= {"folder": self._folder, "gateway_port": self._port}
        (self._folder / "ceph.conf").write_text(_CONFIG.format(**settings))
        for name in ("mon", "osd"):
            (self._folder / name).mkdir()
        self._start_monitor(settings["fsid"], settings["monitor_port"])
        disk = str(uuid4())
        self._run("ceph", "osd", "new", disk, "0")
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        self._begin("ceph-osd", "-f", "-i", "0")
        where = ("1.0", "host=localhost", "root=default")
        self._run("ceph", "osd", "crush", "add", "osd.0", *where)
        self.start_gateway()
        return self

    def start_gateway(self) -> None:
        """Start the gateway and wait until it answers."""
        self._begin("radosgw", "-f", "-n", "client.rgw")
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(self._port):
            gateway = self._processes["radosgw"]
            assert gateway.poll() is None, f"the gateway ended:\n{self.output}"
            assert time.monotonic() < deadline, f"no answer:\n{self.output}"

    def kill_gateway(self) -> None:
        """End the gateway as a power cut would; what was stored stays stored."""
        self._end("radosgw", signal.SIGKILL)

    def add_user(self, name: str, quota_bytes: int | None = None) -> None:
        """Make a user whose key is its name and whose secret is `secretsecret`."""
        self._admin(
            "user",
            "create",
            f"--uid={name}",
            f"--display-name={name}",
            f"--access-key={name}",
            "--secret-key=secretsecret",
        )
        if quota_bytes is not None:
            scope = ("--quota-scope=user", f"--uid={name}")
            self._admin("quota", "set", *scope, f"--max-size={quota_bytes}")
            self._admin("quota", "enable", *scope)

    def entries(self, bucket: str) -> list[str]:
        """Return every entry of the bucket's index, parts of uploads included."""
        listed = self._admin("bi", "list", f"--bucket={bucket}")
        return [str(entry["idx"]) for entry in json.loads(listed)]

    def stop(self) -> None:
        """End all of it and forget its output."""
        for name in reversed(list(self._processes)):
            self._end(name, signal.SIGKILL)
        self._home.cleanup()

    def _start_monitor(self, fsid: object, port: object) -> None:
        ring = str(self._folder / "keyring")
        make = ("ceph-authtool", ring, "--gen-key", "-n")
        self._run(*make, "mon.", "--create-keyring", "--cap", "mon", "allow *")
        caps = ("--cap", "mon", "allow *", "--cap", "osd", "allow *")
        for name in ("client.admin", "client.rgw"):
            self._run(*make, name, *caps)
        self._run(*make, "osd.0", "--cap", "mon", "allow profile osd", *caps[3:])
        chart = str(self._folder / "monmap")
        address = f"[v2:127.0.0.1:{port}]"
        where = ("--fsid", str(fsid), "--addv", "a", address, chart)
        self._run("monmaptool", "--create", *where)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", chart, "--keyring", ring)
        self._begin("ceph-mon", "-f", "-i", "a")

    def _admin(self, *arguments: str) -> bytes:
        return self._run("radosgw-admin", "-n", "client.rgw", *arguments)

    def _run(self, *command: str) -> bytes:
        done = subprocess.run(
            command,
            env=self._env,
            capture_output=True,
            check=False,
            timeout=START_TIMEOUT_S,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def _begin(self, *command: str) -> None:
        with (self._folder / "output").open("ab") as output:
            self._processes[command[0]] = subprocess.Popen(
                command, env=self._env, stdout=output, stderr=output
            )

    def _end(self, name: str, how: signal.Signals) -> None:
        process = self._processes.pop(name)
        process.send_signal(how)
        process.wait(START_TIMEOUT_S)

    @property
    def _env(self) -> dict[str, str]:
        return {**os.environ, "CEPH_CONF": str(self._folder / "ceph.conf")}


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        time.sleep(0.05)
        return False
    return True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
