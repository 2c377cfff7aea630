"""Many who watch one job over real sockets, some of whom never read."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace

import uvicorn
from fastapi import FastAPI

from dinoserve.domain.job_steps import Edited
from dinoserve.domain.jobs import Chunk, Job
from dinoserve.ports import JobStore

_SMALL_BUFFER = 4096


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncGenerator[int]:
    """Serve an app that is open already on a free port, and give the port."""
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        # Accepted connections have it too: one that is not read is full at once.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL_BUFFER)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.001)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


@dataclass
class Watcher:
    """One connection that reads events and counts them.

    Attributes:
        events: how many came.
        last: the last of them, with what follows.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    events: int = 0
    last: bytes = b""

    async def event(self) -> str:
        """The next event, without the framing of HTTP."""
        data = await self.reader.readuntil(b"\n\n\r\n")
        _size, _, text = data.decode().partition("\r\n")
        return text.strip()

    async def read_all(self) -> None:
        """Read until the job is over."""
        while data := await self.reader.read(65_536):
            self.events += data.count(b"event: job")
            self.last = (self.last + data)[-2000:]
            if b"event: end" in self.last:
                return


@asynccontextmanager
async def watcher(port: int, path: str, header: str = "") -> AsyncGenerator[Watcher]:
    """A connection with small buffers whose watch has begun."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
    sock.connect(("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=_SMALL_BUFFER)
    try:
        asked = f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{header}\r\n"
        writer.write(asked.encode())
        await reader.readuntil(b"\r\n\r\n")
        yield Watcher(reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def crowd(port: int, path: str, count: int) -> AsyncGenerator[list[Watcher]]:
    """So many of them."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(watcher(port, path)) for _ in range(count)
        ]


async def change(store: JobStore, job_id: str, **changes: object) -> None:
    """Change the job's record as a worker would, in one step."""

    def edit(job: Job, chunks: Mapping[int, Chunk]) -> Edited:
        del chunks
        return Edited(replace(job, version=job.version + 1, **changes))

    assert await store.edit(job_id, [], edit)
