"""MongoDB's vector search, which no server here has, in front of one that is real.

A proxy on MongoDB's wire protocol. It answers what belongs to vector search by an exact
computation over what the server really holds, as strict as the documentation says, and
hands everything else through untouched. What it cannot show is how the real one ranks,
how far it is behind, and whether it takes the questions as they are documented.
"""

import asyncio
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import bson
import numpy as np
from pymongo import AsyncMongoClient
from pymongo.uri_parser import parse_uri

from dinoserve.adapters.mongo.records import unpacked

_HEAD = struct.Struct("<iiii")
_OP_MSG = 2013
_STAGE_FIELDS = {
    *("index", "path", "queryVector", "filter", "limit", "numCandidates", "exact")
}
Command = dict[str, Any]
Do = Callable[[Command], Awaitable[Command]]


class RefusedError(Exception):
    """The server answers with an error.

    Args:
        code: of the server's error_codes.yml.
        told: why.
    """

    def __init__(self, code: int, told: str) -> None:
        super().__init__(told)
        self.code = code


class SearchServer:
    """What the proxy knows and does; a test changes it as it goes.

    Attributes:
        url: of the database, through the proxy.
        commands: of vector search, as they came.
        statuses: told one after the other of an index that was asked for; the last
            stays. Only READY can be searched.
        indexes: definition by name.
        knows: ids of the documents that are indexed; None: all there are.
        refusal: code of what every command of vector search is answered with.
    """

    def __init__(self, backing: str) -> None:
        self._backing = backing
        self.url = ""
        self.commands: list[Command] = []
        self.statuses = ["READY"]
        self.indexes: dict[str, Command] = {}
        self.knows: set[str] | None = None
        self.refusal: int | None = None

    @property
    def stages(self) -> list[Command]:
        """Every `$vectorSearch` that came."""
        pipelines = [command.get("pipeline", [{}]) for command in self.commands]
        return [
            line[0]["$vectorSearch"] for line in pipelines if "$vectorSearch" in line[0]
        ]

    async def answer(self, command: Command) -> Command | None:
        """Return the answer to a command of vector search; None: it is no such."""
        do = self._do(command)
        if do is None:
            return None
        self.commands.append(command)
        if self.refusal:
            return {"ok": 0.0, "code": self.refusal, "errmsg": "needs configuration"}
        try:
            return {**await do(command), "ok": 1.0}
        except RefusedError as refusal:
            return {"ok": 0.0, "code": refusal.code, "errmsg": str(refusal)}

    def _do(self, command: Command) -> Do | None:
        if "createSearchIndexes" in command:
            return self._create
        pipeline: list[Command] = command.get("pipeline") or [{}]
        first = pipeline[0] if "aggregate" in command else {}
        if "$listSearchIndexes" in first:
            return self._list
        return self._search if "$vectorSearch" in first else None

    async def _create(self, command: Command) -> Command:
        (index,) = command["indexes"]
        if index["name"] in self.indexes:
            raise RefusedError(68, f"Duplicate Index: {index['name']}")
        assert index["type"] == "vectorSearch"
        self.indexes[index["name"]] = index["definition"]
        return {"indexesCreated": [{"id": "1", "name": index["name"]}]}

    async def _list(self, command: Command) -> Command:
        name = command["pipeline"][0]["$listSearchIndexes"]["name"]
        if name not in self.indexes:
            return _cursor(command, [])
        status = self.statuses[0]
        self.statuses = self.statuses[1:] or self.statuses
        # A real server adds what it chose itself.
        fields = [{"quantization": "none", **f} for f in self.indexes[name]["fields"]]
        found = {
            "name": name,
            "type": "vectorSearch",
            "status": status,
            "queryable": status == "READY",
            "latestDefinition": {"fields": fields},
        }
        return _cursor(command, [found])

    async def _search(self, command: Command) -> Command:
        search, project = command["pipeline"]
        stage = search["$vectorSearch"]
        _check_concern(command)
        definition = self.indexes.get(stage["index"])
        if definition is None:
            return _cursor(command, [])
        _check(stage, definition)
        found = await self._indexed(command, stage["filter"])
        query = unpacked(stage["queryVector"]).astype(np.float64)
        # Ties in an order of its own, so that nobody comes to rely on one.
        ranked = sorted(found, key=lambda one: one["_id"], reverse=True)
        ranked.sort(key=lambda one: -float(unpacked(one["vector"]) @ query))
        shown = {"_id", *project["$project"]}
        return _cursor(
            command,
            [
                {name: one[name] for name in one if name in shown}
                for one in ranked[: stage["limit"]]
            ],
        )

    async def _indexed(self, command: Command, where: Command) -> list[Command]:
        async with AsyncMongoClient[Command](self._backing) as client:
            embeddings = client[command["$db"]][command["aggregate"]]
            found = await embeddings.find(where).to_list()
        return [one for one in found if self.knows is None or one["_id"] in self.knows]


def _check_concern(command: Command) -> None:
    concern = command.get("readConcern", {}).get("level", "local")
    if concern != "local":
        raise RefusedError(72, f"$vectorSearch does not support read concern {concern}")


def _check(stage: Command, definition: Command) -> None:
    vector, *filters = definition["fields"]
    if extra := stage.keys() - _STAGE_FIELDS:
        raise RefusedError(9, f"unknown fields {extra}")
    if stage["path"] != vector["path"]:
        raise RefusedError(8, f"{stage['path']} is not indexed as vector")
    if len(unpacked(stage["queryVector"])) != vector["numDimensions"]:
        raise RefusedError(8, f"vector field is indexed with {vector['numDimensions']}")
    given = {name for condition in stage["filter"]["$and"] for name in condition}
    if missing := given - {one["path"] for one in filters if one["type"] == "filter"}:
        raise RefusedError(8, f"{missing} need to be indexed as filter")
    if ("numCandidates" in stage) == bool(stage.get("exact")):
        raise RefusedError(8, "either numCandidates or exact")
    if not stage["limit"] <= stage.get("numCandidates", 10_000) <= 10_000:
        raise RefusedError(8, "limit <= numCandidates <= 10000")


def _cursor(command: Command, found: list[Command]) -> Command:
    place = f"{command['$db']}.{command['aggregate']}"
    return {"cursor": {"firstBatch": found, "id": bson.Int64(0), "ns": place}}


@asynccontextmanager
async def searching(url: str) -> AsyncGenerator[SearchServer]:
    """Yield a server with vector search, in front of the one that the URL names."""
    parsed = parse_uri(url)
    ((host, port),) = parsed["nodelist"]
    server = SearchServer(url)

    async def serve(caller: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        there, on = await asyncio.open_connection(host, port)
        tasks = [
            asyncio.create_task(_ask(server, caller, back, on)),
            asyncio.create_task(_hand_on(there, back)),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in (on, back):
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
        own = listener.sockets[0].getsockname()[1]
        # Else the driver would go on with the address that the server tells.
        server.url = (
            f"mongodb://127.0.0.1:{own}/{parsed['database']}?directConnection=true"
        )
        yield server


async def _hand_on(there: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
    while data := await there.read(1 << 20):
        back.write(data)
        await back.drain()


async def _ask(
    server: SearchServer,
    caller: asyncio.StreamReader,
    back: asyncio.StreamWriter,
    on: asyncio.StreamWriter,
) -> None:
    while True:
        try:
            head = await caller.readexactly(_HEAD.size)
        except asyncio.IncompleteReadError:
            return
        length, number, _, code = _HEAD.unpack(head)
        body = await caller.readexactly(length - _HEAD.size)
        is_command = code == _OP_MSG and body[4] == 0
        answer = await server.answer(_command(body)) if is_command else None
        if answer is None:
            on.write(head + body)
            await on.drain()
        else:
            raw = b"\0\0\0\0\0" + bson.encode(answer)
            back.write(_HEAD.pack(_HEAD.size + len(raw), 0, number, _OP_MSG) + raw)
            await back.drain()


def _command(body: bytes) -> Command:
    """Return the first document, behind flags and the kind of its section."""
    (length,) = struct.unpack_from("<i", body, 5)
    return bson.decode(body[5 : 5 + length])  # pyright: ignore[reportUnknownMemberType] - its stub names arrays of anything
