"""A site on the loopback, names that lead to it, and a fetcher that may go there."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address

from dinoserve.adapters.fetch import FetchLimits, GuardedFetcher
from dinoserve.adapters.fetch_addresses import Address, is_public
from https_server import HttpsServer, Routes, certificate

NAME = "pictures.example"
OTHER_NAME = "other.example"
SERVER = "127.0.0.1"
LIMITS = FetchLimits(timeout_s=20, max_bytes=1000, concurrency=4)
# Long enough for a handshake on a busy machine, short enough to wait for.
SHORT_S = 1.5


def is_server(address: Address) -> bool:
    """Allow what the service allows, and the one loopback address of the site."""
    return address == IPv4Address(SERVER) or is_public(address)


def is_loopback(address: Address) -> bool:
    """Allow every loopback address, for tests that need a dead one."""
    return address.is_loopback


@dataclass(slots=True)
class Names:
    """A resolver that answers from lists, one list a look-up, the last for good."""

    answers: dict[str, list[list[str]]] = field(
        default_factory=lambda: {NAME: [[SERVER]], OTHER_NAME: [[SERVER]]}
    )
    asked: list[str] = field(default_factory=list[str])

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        del port
        self.asked.append(host)
        if host not in self.answers:
            raise OSError("no such name")
        lists = self.answers[host]
        return lists.pop(0) if len(lists) > 1 else lists[0]


async def hang(host: str, port: int) -> Sequence[str]:
    """Resolve nothing, for ever."""
    await asyncio.Event().wait()
    return [host, str(port)]


def client_tls() -> ssl.SSLContext:
    """Return the settings of a client that trusts the site's certificate."""
    return certificate(NAME, OTHER_NAME).client


def fetcher(names: Names | None = None) -> GuardedFetcher:
    """Return a fetcher with the service's own idea of what is public."""
    return GuardedFetcher(LIMITS, resolve=names or Names(), tls=client_tls())


@dataclass(slots=True)
class Site:
    """A server, the names that lead to it, and a fetcher that may go there."""

    server: HttpsServer
    names: Names
    limits: FetchLimits
    fetcher: GuardedFetcher

    def url(self, path: str = "/", host: str = NAME) -> str:
        return f"https://{host}:{self.server.port}{path}"

    async def fetch(self, path: str = "/", host: str = NAME) -> bytes:
        return await self.fetcher.fetch(self.url(path, host))


@asynccontextmanager
async def site(
    routes: Routes,
    *,
    names: Names | None = None,
    limits: FetchLimits = LIMITS,
    is_allowed: Callable[[Address], bool] = is_server,
) -> AsyncGenerator[Site]:
    """Open a site whose own port the fetcher may use."""
    tls = certificate(NAME, OTHER_NAME)
    names = names or Names()
    async with HttpsServer(routes).listening(SERVER, tls.server) as server:
        limits = replace(limits, ports=frozenset({443, server.port}))
        guarded = GuardedFetcher(
            limits, resolve=names, is_allowed=is_allowed, tls=tls.client
        )
        yield Site(server, names, limits, guarded)
