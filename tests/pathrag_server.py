"""A PathRAG on loopback: its eight routes as published, and the faults that they have.

It keeps what the real one keeps: names in capitals and quotes, one link from a name to
another, chunks by their text, and answers by their question. A search there compares
vectors; here it looks for names and words.
"""

import csv
import hashlib
import io
import json
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, TypeAlias

Json: TypeAlias = dict[str, Any]
Fault: TypeAlias = Literal[
    "slow", "500", "garbage", "no object", "deep", "huge", "cut", "redirect", "no text"
]
Silent: TypeAlias = Literal["entities", "relationships", "deletes"]

SORRY = "Sorry, I'm not able to provide an answer to that question."
_WORDS = re.compile(r"\w{4,}")


def quoted(name: str) -> str:
    """Return the name as PathRAG keeps it."""
    return f'"{name.upper()}"'


@dataclass
class PathRagServer:
    """What it keeps, and how it behaves.

    Attributes:
        url: where it is.
        entities: by name.
        links: by both names.
        chunks: texts by id; no route erases them.
        answers: by mode and question, as its language model gave them.
        faults: by path, how it is answered instead; `*`: every path.
        silent: what it says that it did, and does not.
        requests: method and path of what was asked so far.
    """

    url: str = ""
    entities: dict[str, Json] = field(default_factory=dict[str, Json])
    links: dict[tuple[str, str], Json] = field(
        default_factory=dict[tuple[str, str], Json]
    )
    chunks: dict[str, str] = field(default_factory=dict[str, str])
    answers: dict[tuple[str, str], str] = field(
        default_factory=dict[tuple[str, str], str]
    )
    faults: dict[str, Fault] = field(default_factory=dict[str, Fault])
    silent: set[Silent] = field(default_factory=set[Silent])
    requests: list[str] = field(default_factory=list[str])
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def kept(self) -> str:
        """All that it keeps, as text to look for leftovers in."""
        chunks = [f"chunk {text}" for text in self.chunks.values()]
        return json.dumps(
            [self.entities, [*self.links.items()], [*self.answers.items()], chunks],
            ensure_ascii=False,
        )

    def answer(self, method: str, path: str, body: Json) -> tuple[int, Json]:
        """Return status and body of the answer to a request."""
        match method, path:
            case "GET", "/health" | "/status" | "/config" | "/stats":
                return 200, {"status": "healthy", "version": "1.0.0"}
            case "POST", "/insert" if body.get("documents"):
                return 201, {"document_count": len(body["documents"])}
            case "POST", "/insert_custom_kg":
                return self._insert(body.get("custom_kg"))
            case "POST", "/query" if body.get("query"):
                return 200, self._query(body["query"], body.get("params", {}))
            case "DELETE", "/delete_entity" if body.get("entity_name"):
                self._delete(quoted(body["entity_name"]))
                return 200, {"message": "Successfully deleted entity"}
            case _:
                return 400, {"error": "400 Bad Request", "type": "BadRequest"}

    def _insert(self, graph: Json | None) -> tuple[int, Json]:
        if not graph or not {"chunks", "entities", "relationships"} <= graph.keys():
            return 400, {"error": "Missing required field", "type": "BadRequest"}
        sources = {one["source_id"]: self._chunk(one) for one in graph["chunks"]}
        for one in graph["entities"]:
            if "entities" not in self.silent:
                self.entities[quoted(one["entity_name"])] = {
                    "entity_type": one["entity_type"],
                    "description": one["description"],
                    "source_id": sources.get(one["source_id"], "UNKNOWN"),
                }
        for one in graph["relationships"]:
            if "relationships" not in self.silent:
                self.links[quoted(one["src_id"]), quoted(one["tgt_id"])] = {
                    "description": one["description"],
                    "keywords": one["keywords"],
                    "weight": one["weight"],
                    "source_id": sources.get(one["source_id"], "UNKNOWN"),
                }
        return 201, {"message": "Successfully inserted custom knowledge graph"}

    def _chunk(self, chunk: Json) -> str:
        text = chunk["content"].strip()
        name = f"chunk-{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}"
        self.chunks[name] = text
        return name

    def _delete(self, name: str) -> None:
        if "deletes" in self.silent:
            return
        self.entities.pop(name, None)
        self.links = {ends: one for ends, one in self.links.items() if name not in ends}

    def _query(self, query: str, params: Json) -> Json:
        key = params.get("mode", "hybrid"), query
        if key not in self.answers:
            context = self._context(query, params.get("top_k", 60))
            if params.get("only_need_context"):
                return {"query": query, "result": context}
            self.answers[key] = f"It is said: {context}"
        return {"query": query, "result": self.answers[key]}

    def _context(self, query: str, top_k: int) -> str:
        words = set(_WORDS.findall(query.lower()))
        names = [name for name in self.entities if name.strip('"') in query]
        names += [
            name
            for name, one in self.entities.items()
            if name not in names
            and any(word in one["description"].lower() for word in words)
        ]
        names = names[:top_k]
        links = [ends for ends in self.links if {*ends} & {*names}]
        # Those that are asked for by both their names come first.
        links.sort(key=lambda ends: any(end.strip('"') not in query for end in ends))
        links = links[:top_k]
        if not names:
            return SORRY
        found = [(name, self.entities[name]) for name in names]
        entities = [
            [name, one["entity_type"], one["description"]] for name, one in found
        ]
        relations = [
            [*ends, self.links[ends]["description"], self.links[ends]["keywords"]]
            for ends in links
        ]
        ids = [self.entities[name]["source_id"] for name in names]
        ids += [self.links[ends]["source_id"] for ends in links]
        texts = [[self.chunks[one]] for one in dict.fromkeys(ids) if one in self.chunks]
        return (
            f"-----high-level relationship information-----\n{_csv(relations)}"
            f"-----Sources-----\n{_csv(texts)}"
            f"-----low-level entity information-----\n{_csv(entities)}"
        )


def _csv(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return f"```csv\n{text.getvalue()}```\n"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: PathRagServer

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        pass

    def _serve(self) -> None:
        # One that is kept would be served on after the server has ended.
        self.close_connection = True
        self.state.requests.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        faults = self.state.faults
        if fault := faults.get(self.path) or faults.get("*"):
            self._fail(fault)
            return
        given: Json | None = json.loads(body or b"null")
        status, answer = self.state.answer(self.command, self.path, given or {})
        self._send(status, json.dumps(answer).encode())

    def _fail(self, fault: Fault) -> None:
        good = 201 if self.path.startswith("/insert") else 200
        whole: dict[Fault, bytes] = {
            "garbage": b"<html>hello</html>",
            "no object": b"[1, 2]",
            "deep": b"[" * 100_000,
            "huge": b'{"result": "' + b"x" * (5 * 2**20) + b'"}',
            "no text": b'{"result": null, "status": 7}',
        }
        if fault == "500":
            error = b'{"error": "key sk-secret in /srv/pathrag", "type": "KeyError"}'
            self._send(500, error)
        elif fault == "slow":
            self.state.released.wait()
        elif fault == "redirect":
            self._send(307, b"{}", location=f"{self.state.url}/elsewhere")
        elif fault == "cut":
            self.send_response(good)
            self.send_header("content-length", "1000")
            self.end_headers()
            self.wfile.write(b'{"result": "half')
        else:
            self._send(good, whole[fault])

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        fixed = {"content-length": str(len(body)), "connection": "close"}
        for name, value in {**fixed, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(ConnectionError):  # whoever asked has had enough
            self.wfile.write(body)


@contextmanager
def pathrag(
    state: PathRagServer | None = None, port: int = 0
) -> Generator[PathRagServer]:
    """Run it for the block; with the state and port of one that ended: again."""
    state = state or PathRagServer()
    state.released.clear()
    handler = type("Handler", (_Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
