"""The code blocks of every document, run in order against a real server."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser

from odd_files import photo
from servers import Server, running

ROOT = Path(__file__).parents[2]
_ADDRESS = "127.0.0.1:8000"
_TIMEOUT_S = 60
_DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all documents: each works in collections it fills itself."""
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader of the documents would stand."""
    folder = tmp_path / "reader"
    (folder / "pictures").mkdir(parents=True)
    names = ("photo.jpg", "other.jpg", *(f"pictures/{name}.jpg" for name in "abc"))
    for seed, name in enumerate(names):
        (folder / name).write_bytes(photo(seed))
    (folder / ".venv").symlink_to(Path(sys.prefix))
    # A refusal must fail the block; plain curl takes any answer for a success.
    (tmp_path / ".curlrc").write_text("fail-with-body\nshow-error\n")
    (tmp_path / "variables").touch()
    return folder


def _runner(folder: Path, server: Server) -> Callable[[Example], None]:
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CURL_HOME": str(folder.parent),
        "DINOSERVE_PORT": str(server.port),
        "VARIABLES": str(folder.parent / "variables"),
    }

    def run(example: Example) -> None:
        text = str(example.parsed).replace(_ADDRESS, f"127.0.0.1:{server.port}")
        result = subprocess.run(
            _command(example.region.lexemes["arguments"], text),
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
        )
        assert result.returncode == 0, (
            f"exit code {result.returncode}:\n{result.stdout}"
        )

    return run


def _command(language: str, text: str) -> list[str]:
    if language == "python":
        return [sys.executable, "-c", text]
    # What one block sets, the later ones of the document see.
    carried = f'set -a; source "$VARIABLES"\n{text}\nexport -p > "$VARIABLES"'
    return ["bash", "-euo", "pipefail", "-c", carried]


@pytest.mark.needs("curl")
@pytest.mark.parametrize("path", _DOCUMENTS, ids=lambda path: path.name)
def test_the_code_blocks_of_a_document_run(
    path: Path, folder: Path, server: Server
) -> None:
    run = _runner(folder, server)
    parsers = [CodeBlockParser(language, run) for language in ("bash", "python")]
    document = Document.parse(str(path), *parsers)
    for example in document.examples():
        try:
            example.evaluate()
        except AssertionError as error:
            pytest.fail(f"{path}:{example.line}: {error}", pytrace=False)
