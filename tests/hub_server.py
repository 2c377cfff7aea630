"""A small Hugging Face Hub on loopback, for the real client to talk to.

It speaks the routes that `snapshot_download` uses: what a revision is, which files it
has, and the files themselves with ranges.
"""

import hashlib
import json
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit


class Request(NamedTuple):
    """What a client asked for."""

    method: str
    path: str
    headers: Mapping[str, str]


class Answer(NamedTuple):
    """Status, headers and body; `sent` bytes of it arrive before the cut, if any."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    sent: int | None = None


@dataclass
class Hub:
    """One repository, and how it behaves.

    Attributes:
        endpoint: base URL.
        repository: `organisation/name`; no other exists.
        files: contents by path.
        token: what the files are gated with; None lets everyone in.
        faults: by file, answers given to a GET instead of it, first to last.
        garbage: answers everything with this instead.
        plain_files: files come without the headers that only the Hub has.
        requests: what was asked so far.
    """

    endpoint: str
    repository: str
    files: dict[str, bytes]
    token: str | None = None
    faults: dict[str, list[Answer]] = field(default_factory=dict[str, list[Answer]])
    garbage: Answer | None = None
    plain_files: bool = False
    requests: list[Request] = field(default_factory=list[Request])

    @property
    def commit(self) -> str:
        """Return 40 hex digits that the contents decide."""
        content = repr(sorted(self.files.items())).encode()
        return hashlib.sha1(content, usedforsecurity=False).hexdigest()

    def fetched(self) -> set[str]:
        """Return the files that were asked for."""
        return {
            request.path.rpartition("/")[2]
            for request in self.requests
            if "/resolve/" in request.path
        }

    def cut(self, file: str) -> None:
        """Break the connection in the middle of the file, then be down once."""
        whole = self._content(self.files[file], None)
        half = whole._replace(sent=len(whole.body) // 2)
        self.faults[file] = [half, Answer(503, {})]

    def answer(self, request: Request) -> Answer:
        """Return what the Hub says."""
        self.requests.append(request)
        if self.garbage:
            return self.garbage
        path = unquote(urlsplit(request.path).path).strip("/")
        if path.startswith(f"api/models/{self.repository}/"):
            return self._information(path)
        if path.startswith(f"{self.repository}/resolve/"):
            return self._file(path, request)
        # Without a token the Hub does not tell the absent from the private.
        if "authorization" in request.headers:
            return Answer(404, {"X-Error-Code": "RepoNotFound"})
        return Answer(401, {"X-Error-Message": "Invalid username or password."})

    def _information(self, path: str) -> Answer:
        *_, subject, revision = path.split("/")
        if revision not in {"main", self.commit}:
            return Answer(404, {"X-Error-Code": "RevisionNotFound"})
        if subject == "revision":
            return _json({"id": self.repository, "sha": self.commit})
        return _json(
            [
                {"type": "file", "path": name, "size": len(body), "oid": _oid(body)}
                for name, body in self.files.items()
            ]
        )

    def _file(self, path: str, request: Request) -> Answer:
        if (
            self.token
            and request.headers.get("authorization") != f"Bearer {self.token}"
        ):
            return Answer(
                403 if "authorization" in request.headers else 401,
                {"X-Error-Code": "GatedRepo"},
            )
        name = path.rpartition("/")[2]
        faults = self.faults.get(name, []) if request.method == "GET" else []
        if faults:
            return faults.pop(0)
        return self._content(self.files[name], request.headers.get("range"))

    def _content(self, body: bytes, span: str | None) -> Answer:
        headers = {"X-Repo-Commit": self.commit, "ETag": f'"{_oid(body)}"'}
        if self.plain_files:
            return Answer(200, {}, body)
        if span is None:
            return Answer(200, headers, body)
        first = int(span.removeprefix("bytes=").partition("-")[0])
        headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        return Answer(206, headers, body[first:])


def _oid(body: bytes) -> str:
    return hashlib.sha1(body, usedforsecurity=False).hexdigest()


def _json(content: object) -> Answer:
    body = json.dumps(content).encode()
    return Answer(200, {"Content-Type": "application/json"}, body)


@contextmanager
def serve_hub(folder: Path, repository: str) -> Generator[Hub]:
    """Serve the folder's files as the repository until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    endpoint = f"http://127.0.0.1:{server.server_port}"
    files = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
    hub = Hub(endpoint, repository, files)
    server.RequestHandlerClass = _handler(hub)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = hub.answer(Request(self.command, self.path, headers))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(answer.body[: answer.sent])

        do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server names it
            """Keep the tests' output clean."""

    return Handler
