"""ArangoDB's HTTP API as far as we use it: a process that a test may kill.

`python arango_double.py PORT JOURNAL` prints the port that it listens on. It shows
what is asked and how failures are met; it does not show whether a real server
understands the AQL, uses its indexes, or how fast it is.

`POST /_double` sets `token_s`, `transaction_s`, `secret`, `drop` (a database) or
`faults`: a list of `{"kind", "path", "skip", "times"}`, where a request whose method
and path contain `path` meets, after `skip` of them, so many times (0: always):
`500`, `503`, `slow`, `garbage`, `list`, `cut`, `item` (one of many is refused), `die`
(before it is done) or `die late` (done, but not answered). `GET /_double` tells
`requests` (method and path), what is `open`, and `databases`;
`GET /_double/DATABASE` tells all documents by collection.
"""

import asyncio
import itertools
import json
import os
import re
import socket
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import jwt
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from arango_answers import answer
from arango_tables import Document, RefusedError, Tables, Transaction, View

USER, PASSWORD = "root", "a/b:c@d"
_METHODS = ["GET", "POST", "PUT", "DELETE"]
_IN_DATABASE = re.compile(r"/_db/([^/]+)(/.*)")


class Double:
    """The server; one request at a time."""

    def __init__(self, journal: Path) -> None:
        self.tables = Tables(journal)
        self.faults: list[Document] = []
        self.requests: list[tuple[str, str]] = []
        self.cursors: dict[str, tuple[list[Any], int]] = {}
        self.token_s = 3600.0
        self.secret = "s" * 32
        self._numbers = itertools.count(1)

    async def control(self, request: Request) -> Response:
        if request.method == "GET" and request.path_params["rest"]:
            database = self.tables.databases[request.path_params["rest"]]
            return JSONResponse(database.documents)
        if request.method == "GET":
            held = {"cursors": len(self.cursors)}
            held["transactions"] = len(self.tables.transactions)
            told = {"requests": self.requests, "open": held}
            return JSONResponse(told | {"databases": list(self.tables.databases)})
        orders = await request.json()
        self.requests.clear()
        self.token_s = orders.get("token_s", self.token_s)
        self.secret = orders.get("secret", self.secret)
        self.faults = orders.get("faults", self.faults)
        self.tables.transaction_s = orders.get(
            "transaction_s", self.tables.transaction_s
        )
        if name := orders.get("drop"):
            self.tables.do("drop", name)
        return JSONResponse({})

    async def handle(self, request: Request) -> Response:
        path = request.url.path
        self.requests.append((request.method, path))
        fault = self._fault(f"{request.method} {path}")
        if fault == "slow":
            await asyncio.sleep(60)
        if answered := _instead(fault):
            return answered
        data = await request.body()
        try:
            answered = self._answer(request, json.loads(data) if data else None, fault)
        except RefusedError as error:
            return _refusal(error)
        if fault == "die late":
            os._exit(9)
        if fault == "cut":
            return StreamingResponse(_cut(), headers={"content-length": "1000"})
        return answered

    def _fault(self, request: str) -> str:
        for fault in self.faults:
            if fault.get("path", "") not in request or fault.get("done"):
                continue
            if fault.get("skip", 0) > 0:
                fault["skip"] -= 1
                continue
            if times := fault.get("times", 0):
                fault["times"] = times - 1
                fault["done"] = times == 1
            return str(fault["kind"])
        return ""

    def _answer(self, request: Request, body: Any, fault: str) -> Response:
        path = request.url.path
        if path == "/_open/auth":
            return self._token(body)
        self._check_token(request.headers.get("authorization", ""))
        found = _IN_DATABASE.fullmatch(path)
        if not found:
            raise RefusedError(404, 404, f"unknown path {path}")
        database, rest = found.groups()
        if database not in self.tables.databases:
            raise RefusedError(404, 1228, "database not found")
        parts = rest.strip("/").split("/")[1:]
        do = getattr(self, f"_{request.method.lower()}_{parts[0]}", None)
        if do is None or not rest.startswith("/_api/"):
            raise RefusedError(404, 404, f"unknown path {path}")
        number = request.headers.get("x-arango-trx-id", "")
        view = View(self.tables, database, number)
        answered: Response = do(database, parts[1:], body, view=view, fault=fault)
        return answered

    def _token(self, body: Document) -> Response:
        if (body["username"], body["password"]) != (USER, PASSWORD):
            raise RefusedError(401, 11, "not authorized")
        now = int(time.time())
        claims = {"iss": "arangodb", "iat": now, "exp": now + self.token_s}
        token = jwt.encode(claims, self.secret, algorithm="HS256")
        return JSONResponse({"jwt": token})

    def _check_token(self, header: str) -> None:
        kind, _, token = header.partition(" ")
        try:
            jwt.decode(token, self.secret, algorithms=["HS256"], issuer="arangodb")
        except jwt.PyJWTError as error:
            raise RefusedError(401, 11, f"not authorized by {kind}: {error}") from error

    def _get_version(self, *_: Any, **__: Any) -> Response:
        return JSONResponse({"server": "arango", "version": "3.12.4-double"})

    def _post_database(self, _: str, __: Any, body: Document, **___: Any) -> Response:
        if body["name"] in self.tables.databases:
            raise RefusedError(409, 1207, "duplicate name")
        self.tables.do("database", body["name"])
        return JSONResponse({"result": True}, 201)

    def _get_collection(
        self, database: str, rest: list[str], *_: Any, **__: Any
    ) -> Response:
        self.tables.databases[database].collection(rest[0])
        return JSONResponse({"name": rest[0]})

    def _post_collection(
        self, database: str, _: Any, body: Document, **__: Any
    ) -> Response:
        name, kind = body["name"], body.get("type", 2)
        if name in self.tables.databases[database].types:
            raise RefusedError(409, 1207, "duplicate name")
        self.tables.do("collection", database, name, kind)
        told = {"name": name, "type": kind, "status": 3, "id": "7"}
        more = {"isSystem": False, "globallyUniqueId": "x"}
        return JSONResponse(told | more)

    def _get_gharial(
        self, database: str, rest: list[str], *_: Any, **__: Any
    ) -> Response:
        if rest[0] not in self.tables.databases[database].graphs:
            raise RefusedError(404, 1924, "graph not found")
        return JSONResponse({"graph": {"name": rest[0]}})

    def _post_gharial(
        self, database: str, _: Any, body: Document, **__: Any
    ) -> Response:
        self.tables.do("graph", database, body)
        told: Document = {"_id": f"_graphs/{body['name']}", "_rev": "r"}
        told["orphanCollections"] = []
        return JSONResponse({"graph": body | told}, 202)

    def _post_index(self, _: str, __: Any, body: Document, **___: Any) -> Response:
        told = {"id": "c/9", "type": body["type"], "fields": body["fields"]}
        return JSONResponse(told | {"name": "i", "unique": False, "sparse": False})

    def _post_document(
        self, _: str, rest: list[str], body: Any, *, view: View, fault: str
    ) -> Response:
        first, *others = body
        told = [_item(view, rest[0], first, fault)]
        told += [_item(view, rest[0], each, "") for each in others]
        return JSONResponse(told, 202)

    def _post_transaction(
        self, database: str, _: Any, body: Any, **__: Any
    ) -> Response:
        number = str(next(self._numbers))
        written = frozenset(body["collections"]["write"])
        self.tables.transactions[number] = Transaction(database, written)
        return JSONResponse({"result": {"id": number, "status": "running"}}, 201)

    def _put_transaction(
        self, database: str, rest: list[str], *_: Any, **__: Any
    ) -> Response:
        staged = self.tables.transaction(rest[0]).staged
        del self.tables.transactions[rest[0]]
        writes = [(*place, document) for place, document in staged.items()]
        self.tables.do("write", database, writes)
        return JSONResponse({"result": {"id": rest[0], "status": "committed"}})

    def _delete_transaction(
        self, _: str, rest: list[str], *__: Any, **___: Any
    ) -> Response:
        self.tables.transaction(rest[0])
        del self.tables.transactions[rest[0]]
        return JSONResponse({"result": {"id": rest[0], "status": "aborted"}})

    def _post_cursor(
        self, _: str, rest: list[str], body: Any, *, view: View, **__: Any
    ) -> Response:
        if rest:
            if rest[0] not in self.cursors:
                raise RefusedError(404, 1600, "cursor not found")
            return self._page(rest[0])
        rows = answer(view, body["query"], body.get("bindVars", {}))
        number = str(next(self._numbers))
        self.cursors[number] = (rows, body["batchSize"])
        return self._page(number, 201)

    def _page(self, number: str, status: int = 200) -> Response:
        rows, size = self.cursors.pop(number)
        told: Document = {"result": rows[:size], "error": False}
        told["hasMore"] = len(rows) > size
        if len(rows) > size:
            self.cursors[number] = (rows[size:], size)
            told["id"] = number
        return JSONResponse(told, status)

    def _delete_cursor(self, _: str, rest: list[str], *__: Any, **___: Any) -> Response:
        if self.cursors.pop(rest[0], None) is None:
            raise RefusedError(404, 1600, "cursor not found")
        return JSONResponse({"id": rest[0]}, 202)


def _instead(fault: str) -> Response | None:
    if fault == "die":
        os._exit(9)
    if fault in {"500", "503"}:
        return _refusal(RefusedError(int(fault), 4, "as it was told to"))
    if fault == "garbage":
        return Response(b"<html>hello</html>", media_type="text/html")
    return JSONResponse([1, 2]) if fault == "list" else None


def _item(view: View, collection: str, document: Document, fault: str) -> Document:
    if fault == "item":
        return {"error": True, "errorNum": 1210, "errorMessage": "as it was told to"}
    try:
        return view.put(collection, document)
    except RefusedError as error:
        number = {"errorNum": error.number, "errorMessage": str(error)}
        return {"error": True, **number}


def _refusal(error: RefusedError) -> Response:
    told = {"errorNum": error.number, "errorMessage": str(error), "code": error.status}
    return JSONResponse({"error": True, **told}, error.status)


async def _cut() -> AsyncGenerator[bytes]:
    yield b'{"result"'
    raise ConnectionResetError


def main(port: int, journal: Path) -> None:
    double = Double(journal)
    routes = [
        Route("/_double/{rest:path}", double.control, methods=_METHODS),
        Route("/{path:path}", double.handle, methods=_METHODS),
    ]
    with socket.create_server(("127.0.0.1", port)) as listener:
        print(listener.getsockname()[1], flush=True)  # noqa: T201 - for who started it
        config = uvicorn.Config(Starlette(routes=routes), log_level="critical")
        asyncio.run(uvicorn.Server(config).serve([listener]))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
