"""A real HTTPS server on loopback whose every answer is written by the test."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

Write: TypeAlias = Callable[[asyncio.StreamWriter], Awaitable[None]]
Routes: TypeAlias = Mapping[str, bytes | Write]


@dataclass(frozen=True, slots=True)
class Certificate:
    """Both sides' view of a self-signed certificate: its owner's, its believer's."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@cache
def certificate(*names: str) -> Certificate:
    """Return a certificate for these DNS names, made now, valid for one day."""
    with TemporaryDirectory() as folder:
        file, key = Path(folder, "certificate.pem"), Path(folder, "key.pem")
        _self_sign(file, key, names)
        made = Certificate(
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )
        made.server.load_cert_chain(file, key)
        made.client.load_verify_locations(file)
    return made


def _self_sign(file: Path, key: Path, names: tuple[str, ...]) -> None:
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "1"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-subj", "/CN=dinoserve test", "-out", file, "-keyout", key),
            *("-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)),
        ],
        check=True,
        capture_output=True,
    )


@dataclass(slots=True)
class HttpsServer:
    """Who came and what they asked for.

    Attributes:
        port: TCP port; 0 lets the system choose at the start.
        connections: TLS connections taken.
        requests: request heads, as they came.
        active: requests being answered now.
        peak: most requests being answered at the same time.
    """

    routes: Routes
    port: int = 0
    connections: int = 0
    requests: list[str] = field(default_factory=list[str])
    active: int = 0
    peak: int = 0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    @asynccontextmanager
    async def listening(
        self, address: str, tls: ssl.SSLContext
    ) -> AsyncGenerator["HttpsServer"]:
        """Serve while the block runs, then drop whoever is still there."""
        server = await asyncio.start_server(self._take, address, self.port, ssl=tls)
        self.port = int(server.sockets[0].getsockname()[1])
        async with server:
            try:
                yield self
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.connections += 1
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.requests.append(head)
        self.active += 1
        self.peak = max(self.peak, self.active)
        route = self.routes[head.split(" ")[1].partition("?")[0]]
        try:
            if isinstance(route, bytes):
                writer.write(route)
            else:
                await route(writer)
            await writer.drain()
        finally:
            self.active -= 1


def answer(
    body: bytes = b"", status: str = "200 OK", headers: Mapping[str, str] | None = None
) -> bytes:
    """Return a whole HTTP/1.1 answer with its Content-Length."""
    all_headers = {"Content-Length": str(len(body)), **(headers or {})}
    lines = [f"HTTP/1.1 {status}", *(f"{k}: {v}" for k, v in all_headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(location: str) -> bytes:
    """Return an answer that sends the client elsewhere."""
    return answer(status="302 Found", headers={"Location": location})


def chunked(*chunks: bytes) -> bytes:
    """Return a whole HTTP/1.1 answer without Content-Length."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    parts = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    return b"".join([head, *parts, b"0\r\n\r\n"])


async def never(writer: asyncio.StreamWriter) -> None:
    """Answer nothing until the server goes away."""
    del writer
    await asyncio.Event().wait()
