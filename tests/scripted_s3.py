"""A server that answers as a test says: for what no real one can be brought to do."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from dinoserve.adapters.objects import Bucket

SECRET = "very-secret-indeed"
BUCKET = Bucket("pictures", "", "http://127.0.0.1", "auto", "ACCESS", SECRET)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came.

    Attributes:
        target: path and query as sent.
        headers: values by lower-case name.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; `HANG` for none."""

    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict[str, str])


HANG = Reply(0)


def refusal(status: int, code: str) -> Reply:
    """Return an error as S3 words it."""
    return Reply(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>")


@dataclass
class ScriptedS3:
    """What came, and where."""

    bucket: Bucket
    requests: list[Request] = field(default_factory=list[Request])


@asynccontextmanager
async def scripted(reply: Callable[[Request], Reply]) -> AsyncGenerator[ScriptedS3]:
    """Serve these replies for the time of the block."""
    script = ScriptedS3(BUCKET)
    callers: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if caller := asyncio.current_task():
            callers.add(caller)
        try:
            while request := await _read(reader):
                script.requests.append(request)
                await _answer(writer, request, reply(request))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the caller has gone, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    script.bucket = replace(BUCKET, endpoint=f"http://127.0.0.1:{port}")
    try:
        yield script
    finally:
        server.close()
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Request | None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.rstrip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    method, target, _ = first.split(" ")
    return Request(method, target, headers, body)


async def _answer(writer: asyncio.StreamWriter, request: Request, reply: Reply) -> None:
    if reply is HANG:
        await asyncio.Event().wait()
    headers = {"etag": '"e"', "last-modified": "Mon, 23 Nov 2026 11:00:00 GMT"}
    headers |= {"content-length": str(len(reply.body)), **reply.headers}
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    body = "" if request.method == "HEAD" else reply.body
    writer.write(("\r\n".join(lines) + "\r\n\r\n" + body).encode())
    await writer.drain()
