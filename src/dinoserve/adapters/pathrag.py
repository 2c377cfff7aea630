"""A PathRAG server over HTTP: its routes as published, and none of its promises.

The routes: jomapps/pathrag, src/api_server.py at commit f30e57a. What they do inside:
BUPT-GAMMA/PathRAG, `ainsert_custom_kg`, `adelete_by_entity` and `kg_query`. A 201 or
200 of it does not mean that anything was stored or erased, so both are read back.
"""

import asyncio
import hashlib
import json
import secrets
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, Self, cast

import httpx2

from dinoserve.domain.knowledge import (
    Answer,
    Entity,
    Facts,
    Link,
    Question,
)
from dinoserve.errors import DeadlineError, UnavailableError

MAX_ANSWER_BYTES: Final = 4 * 2**20
"""Bytes of one answer that are read."""

_CONNECT_S = 2.0
_PING_S = 3.0
# Each request makes embeddings there, and reading back asks a language model.
_STORE_S = 30.0
_ASK_S = 120.0
_AT_ONCE = 8
_OK, _CREATED = 200, 201
_SHOWN = 40
# PathRAG begins with this many matches, and cuts its context at so many tokens.
_READ_TOP_K = 60
_READ_TOKENS = 32_000
_CUT = ("text_unit", "global_context", "local_context")


class _Proof(NamedTuple):
    """What to ask for, and what then must stand in the context."""

    query: str
    mark: str


class PathRag:
    """Plays `Knowledge`.

    Args:
        http: client of the server, with its address.
    """

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncGenerator[Self]:
        """Yield the server at this address; it need not answer yet."""
        limits = httpx2.Limits(max_connections=_AT_ONCE)
        timeout = httpx2.Timeout(None, connect=_CONNECT_S)
        # Proxies of the environment are not for a server of one's own.
        async with httpx2.AsyncClient(
            base_url=url, limits=limits, timeout=timeout, trust_env=False
        ) as http:
            yield cls(http)

    async def put(self, facts: Facts) -> None:
        """Send the facts, and find each by a query; see `Knowledge.put`."""
        if not facts.entities:
            return
        entities = [_entity(one) for one in facts.entities]
        links = [_link(one) for one in facts.links]
        graph = {
            "chunks": _chunks(facts),
            "entities": entities,
            "relationships": links,
        }
        body = {"custom_kg": graph}
        async with _within(_STORE_S):
            await self._send("POST", "/insert_custom_kg", body, _CREATED)
        proofs = [
            *(_Proof(one["entity_name"], _stamp(one)) for one in entities),
            *(_Proof(f"{one['src_id']} {one['tgt_id']}", _stamp(one)) for one in links),
        ]
        await self._prove(proofs)

    async def forget(self, names: Collection[str]) -> None:
        """Erase entities, and find none by a query; see `Knowledge.forget`."""
        for name in names:
            async with _within(_STORE_S):
                body = {"entity_name": name}
                await self._send("DELETE", "/delete_entity", body, _OK)
        for name in names:
            if await self.has(name):
                raise _away("was told to erase an entity and still has it.")

    async def has(self, name: str) -> bool:
        """Tell whether the entity's own name finds it."""
        return name in await self._read(name)

    async def ask(self, question: Question) -> Answer:
        """Return an answer; its context is asked for first, by the same question."""
        # The server keeps answers by their question, and would give the kept one for
        # the context as well; and after an erasure, still.
        text = f"{question.text}\n(request {secrets.token_hex(4)})"
        params = {"mode": question.mode, "top_k": question.top_k}
        try:
            async with asyncio.timeout(_ASK_S):
                context = await self._query(text, {**params, "only_need_context": True})
                answer = await self._query(text, params)
        except TimeoutError as error:
            raise DeadlineError(
                f"PathRAG did not answer within {_ASK_S:g} s.", limit=_ASK_S
            ) from error
        return Answer(answer, context)

    async def ping(self) -> str:
        """Return name and version, if it says that it is healthy."""
        async with _within(_PING_S):
            health = await self._send("GET", "/health", None, _OK)
        if health.get("status") != "healthy":
            raise _away("says that it is not healthy.")
        return f"PathRAG {health.get('version', 'of no version')!s:.{_SHOWN}}"

    async def _prove(self, proofs: Sequence[_Proof]) -> None:
        """Pass if every mark can be read: by one query for all, else by its own."""
        context = await self._read(", ".join(proof.query for proof in proofs))
        for query, mark in proofs:
            if mark not in context and mark not in await self._read(query):
                raise _away("took facts and does not have them.")

    async def _read(self, query: str) -> str:
        """Return the context that the server finds for these names."""
        params = {
            "only_need_context": True,
            "top_k": _READ_TOP_K,
            **{f"max_token_for_{kind}": _READ_TOKENS for kind in _CUT},
        }
        async with _within(_STORE_S):
            return await self._query(query, params)

    async def _query(self, text: str, params: Mapping[str, object]) -> str:
        body = {"query": text, "params": {"mode": "hybrid", **params}}
        result = (await self._send("POST", "/query", body, _OK)).get("result")
        if not isinstance(result, str):
            raise _away("answered a query with something else than text.")
        return result

    async def _send(
        self, method: str, path: str, body: object, status: int
    ) -> dict[str, Any]:
        """Return the JSON object that is answered with this status."""
        try:
            async with self._http.stream(method, path, json=body) as answer:
                data = await _read_all(answer)
        except httpx2.TransportError as error:
            raise _away("cannot be reached.") from error
        except httpx2.HTTPError as error:
            raise _away("answered what is no HTTP.") from error
        if answer.status_code != status:
            # What it says may hold names, keys or paths of that server.
            raise _away(f"answered {answer.status_code}.")
        return await asyncio.to_thread(_object, data)


@asynccontextmanager
async def _within(limit_s: float) -> AsyncGenerator[None]:
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError as error:
        raise _away(f"did not answer within {limit_s:g} s.") from error


async def _read_all(answer: httpx2.Response) -> bytes:
    data = bytearray()
    async for part in answer.aiter_bytes():
        data += part
        if len(data) > MAX_ANSWER_BYTES:
            raise _away(f"answered more than {MAX_ANSWER_BYTES} bytes.")
    return bytes(data)


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _away("answered what is no JSON.") from error
    if not isinstance(value, dict):
        raise _away("answered something else than an object.")
    return cast("dict[str, Any]", value)


def _entity(entity: Entity) -> dict[str, Any]:
    fields = {
        "entity_name": entity.name,
        "entity_type": entity.kind,
        "description": entity.description,
        "source_id": _source(entity.asset_id),
    }
    return _stamped(fields)


def _link(link: Link) -> dict[str, Any]:
    fields = {
        "src_id": link.source,
        "tgt_id": link.target,
        "description": link.description,
        "keywords": link.keywords,
        "weight": link.weight,
        "source_id": _source(link.asset_id),
    }
    return _stamped(fields)


def _chunks(facts: Facts) -> list[dict[str, str]]:
    """Return a chunk for each asset: its id and nothing else.

    No route erases a chunk, so that it may hold nothing of the asset.
    """
    ids = dict.fromkeys(one.asset_id for one in (*facts.entities, *facts.links))
    return [
        {
            "content": f"dinoserve asset {one}" if one else "dinoserve",
            "source_id": _source(one),
        }
        for one in ids
    ]


def _source(asset_id: str | None) -> str:
    return asset_id or "dinoserve"


def _stamped(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with a digest of all of them in the description.

    Where it can be read, this very state was stored, and no older one.
    """
    whole = json.dumps(fields, sort_keys=True).encode()
    mark = hashlib.sha256(whole).hexdigest()[:16]
    return {**fields, "description": f"{fields['description']} (state {mark})"}


def _stamp(fields: dict[str, Any]) -> str:
    return str(fields["description"])[-17:-1]


def _away(detail: str) -> UnavailableError:
    return UnavailableError(f"PathRAG {detail}", port="pathrag")
