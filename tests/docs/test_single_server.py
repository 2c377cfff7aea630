"""The guide for a single server, and the files that it has people install."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from dinoserve.adapters.objects import secret_key
from dinoserve.setting_values import key_digest
from dinoserve.settings import Settings
from redis_server import RedisServer

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
GUIDE = (ROOT / "docs/deploy/single-server.md").read_text("utf-8")
UNIT = DEPLOY / "systemd/dinoserve.service"
_JOURNALD = Path("/etc/systemd/journald.conf")
# Of ten, lowest is best. The GPU, the network and a group of the cache cost most of it.
_MOST_EXPOSED = 2.2
# What only the machine that the guide is about can do.
_ELSEWHERE = {
    *("apt-get", "certbot", "cp", "git", "install", "journalctl", "make", "mongosh"),
    *("nginx", "nvidia-smi", "reboot", "rm", "systemctl", "systemd-sysusers"),
    *("ubuntu-drivers", "ufw"),
}
# Where its programs, users and names are.
_OF_THAT_MACHINE = ("/opt/dinoserve", "/etc/", "pictures.example.com")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def _checked(*command: str | Path) -> str:
    """Return what a command says; fail if it fails."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    output = ended.stdout + ended.stderr
    assert ended.returncode == 0, output
    return output


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with the program where it is here."""
    program = tmp_path / "dinoserve"  # systemd takes no path with a space in it
    program.symlink_to(Path(sys.executable).with_name("dinoserve"))
    text = UNIT.read_text("utf-8")
    assert text.count("/opt/dinoserve/.venv/bin/dinoserve") == 1
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace("/opt/dinoserve/.venv/bin/dinoserve", str(program)))
    return copy


@pytest.mark.needs("systemd")
def test_systemd_understands_every_line_of_the_unit(unit: Path) -> None:
    assert _checked("systemd-analyze", "verify", "--man=no", unit) == ""


@pytest.mark.needs("systemd")
def test_the_unit_leaves_the_service_little_to_reach(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager"]
    bound = f"--threshold={_MOST_EXPOSED * 10:.0f}"

    _checked(*command, bound, unit)


def test_the_unit_gives_requests_time_to_end() -> None:
    (stop_s,) = re.findall(r"^TimeoutStopSec=(\d+)$", UNIT.read_text(), re.MULTILINE)

    assert int(stop_s) > 30


@pytest.mark.needs("systemd")
def test_systemd_would_make_the_user() -> None:
    said = _checked("systemd-sysusers", "--dry-run", DEPLOY / "systemd/sysusers.conf")

    assert "Creating user 'dinoserve'" in said


@pytest.mark.needs("systemd")
def test_journald_is_told_what_it_knows() -> None:
    lines = (DEPLOY / "systemd/journald.conf").read_text().splitlines()
    given = {line.split("=")[0] for line in lines if "=" in line}
    # Debian and Ubuntu ship it with every setting in a comment.
    known = re.findall(r"^#?(\w+)=", _JOURNALD.read_text(), re.MULTILINE)

    assert given
    assert given <= set(known)


@pytest.mark.needs("redis")
def test_redis_takes_its_configuration_and_evicts(tmp_path: Path) -> None:
    text = (DEPLOY / "redis/redis-cache.conf").read_text()
    config = tmp_path / "redis.conf"
    # Where it is, and who may reach it, is the test server's to say.
    config.write_text(re.sub(r"(?m)^(unixsocket|pidfile|logfile|dir) .*$", "", text))
    server = RedisServer("--include", str(config)).start()
    try:
        with server.client() as client:
            told = cast("Any", client).config_get("maxmemory*", "save", "port")
    finally:
        server.remove()

    assert told["maxmemory-policy"] == "allkeys-lru"
    assert int(told["maxmemory"]) == 4 * 1024**3
    assert (told["save"], told["port"]) == ("", "0")


def test_the_cache_is_where_the_settings_say() -> None:
    (place,) = re.findall(r"^DINOSERVE_REDIS=unix://(.+)$", GUIDE, re.MULTILINE)

    assert f"unixsocket {place}\n" in (DEPLOY / "redis/redis-cache.conf").read_text()


@pytest.mark.needs("nginx")
@pytest.mark.needs("openssl")
def test_nginx_takes_its_configuration(tmp_path: Path) -> None:
    _make_certificate(tmp_path)
    _checked("nginx", "-t", "-p", tmp_path, "-c", _nginx_config(tmp_path))


def test_nginx_lets_the_server_itself_refuse_what_is_too_large() -> None:
    text = (DEPLOY / "nginx/dinoserve.conf").read_text()
    (mebibytes,) = re.findall(r"client_max_body_size (\d+)m;", text)

    limit = Settings.model_fields["max_body_bytes"].default
    assert limit < int(mebibytes) * 1024**2 < 1.1 * limit


def test_the_settings_of_the_guide_are_settings_with_values_that_can_be(
    tmp_path: Path,
) -> None:
    (text,) = [block for block in _blocks("ini") if "DINOSERVE_HOST" in block]
    (tmp_path / ".env").write_text(text)
    given = re.findall(r"^DINOSERVE_(\w+)=", text, re.MULTILINE)

    settings = Settings(_env_file=tmp_path / ".env")  # pyright: ignore[reportCallIssue] - an argument of pydantic-settings alone

    assert settings.objects == "s3://pictures"
    assert [len(key_digest(key)) for key in settings.api_keys] == [32]
    assert settings.link_key
    assert secret_key("DINOSERVE_LINK_KEY", settings.link_key)
    assert {name.lower() for name in given} <= Settings.model_fields.keys()


def test_every_setting_of_the_guide_is_explained() -> None:
    (text,) = [block for block in _blocks("ini") if "DINOSERVE_HOST" in block]
    given = re.findall(r"^DINOSERVE(_\w+)=", text, re.MULTILINE)
    rows = "".join(re.findall(r"^\| `DINOSERVE_.+$", GUIDE, re.MULTILINE))
    told = re.findall(r"`(?:DINOSERVE)?(_\w+)(…?)`", rows)

    assert [
        name
        for name in given
        if not any(name == own or (more and name.startswith(own)) for own, more in told)
    ] == []


def test_what_the_guide_installs_is_in_the_repository() -> None:
    named = re.findall(r"/opt/dinoserve/(deploy/\S+)", GUIDE)

    assert len(named) == 5
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_only_commands_of_that_machine_are_left_unrun() -> None:
    text = "\n".join(_blocks("sh")).replace("\\\n", " ")
    # A quoted line break belongs to its command.
    commands = re.findall(r"^(?:[^'\n]|'[^']*')+$", text, re.MULTILINE)
    left = [
        line
        for line in commands
        if shlex.split(line.removeprefix("sudo "))[0] not in _ELSEWHERE
        and not any(place in line for place in _OF_THAT_MACHINE)
    ]

    assert len(commands) > 30
    assert left == []


def _make_certificate(folder: Path) -> None:
    name = ["-subj", "/CN=pictures.example.com", "-days", "2"]
    files = ["-keyout", folder / "privkey.pem", "-out", folder / "fullchain.pem"]
    _checked("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *name, *files)


def _nginx_config(folder: Path) -> Path:
    """Return a whole configuration around ours, on free ports of loopback."""
    text = (DEPLOY / "nginx/dinoserve.conf").read_text()
    text = text.replace("/etc/letsencrypt/live/pictures.example.com", str(folder))
    text = re.sub(r"listen \[::\].*\n", "", text)
    text = re.sub(r"listen (80|443)", r"listen 127.0.0.1:2\g<1>0", text)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    config = folder / "nginx.conf"
    config.write_text(
        f"pid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{folders}{text}}}\n"
    )
    return config
