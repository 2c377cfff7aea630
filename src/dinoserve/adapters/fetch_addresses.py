"""Which addresses may be fetched from, how they are found, and how they are kept."""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias, cast

import httpcore2

Address: TypeAlias = IPv4Address | IPv6Address
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]

# RFC 1123 §2.1, and the underscore that real names carry. A last label that is a
# number marks an IPv4 address in some reader (WHATWG URL §3.5), so it is no name.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]+\Z|0x[0-9a-f]*\Z){_LABEL}")
_MAX_NAME_CHARACTERS = 253

_GLOBAL_IPV6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")

# IANA IPv4 and IPv6 special-purpose address registries, compared on 2026-11-23 with
# the ranges of microsoft-antissrf 1.0.0; IPv6 outside `_GLOBAL_IPV6` needs no rows.
_SPECIAL = (
    IPv4Network("0.0.0.0/8"),  # this network, unspecified
    IPv4Network("10.0.0.0/8"),  # private
    IPv4Network("100.64.0.0/10"),  # carrier-grade NAT; Alibaba's metadata
    IPv4Network("127.0.0.0/8"),  # loopback
    IPv4Network("168.63.129.16/32"),  # Azure's platform service, seen from inside
    IPv4Network("169.254.0.0/16"),  # link-local; cloud metadata
    IPv4Network("172.16.0.0/12"),  # private
    IPv4Network("192.0.0.0/24"),  # IETF protocols; Oracle's metadata
    IPv4Network("192.0.2.0/24"),  # documentation
    IPv4Network("192.31.196.0/24"),  # AS112
    IPv4Network("192.52.193.0/24"),  # AMT relays
    IPv4Network("192.88.99.0/24"),  # 6to4 relays, deprecated
    IPv4Network("192.168.0.0/16"),  # private
    IPv4Network("192.175.48.0/24"),  # AS112
    IPv4Network("198.18.0.0/15"),  # benchmarking
    IPv4Network("198.51.100.0/24"),  # documentation
    IPv4Network("203.0.113.0/24"),  # documentation
    IPv4Network("224.0.0.0/4"),  # multicast
    IPv4Network("240.0.0.0/4"),  # reserved, broadcast
    IPv6Network("2001::/23"),  # IETF protocols: Teredo, ORCHID, benchmarking, AMT
    IPv6Network("2001:db8::/32"),  # documentation
    IPv6Network("2002::/16"),  # 6to4, embeds IPv4
    IPv6Network("2620:4f:8000::/48"),  # AS112
    IPv6Network("3ffe::/16"),  # 6bone, returned
    IPv6Network("3fff::/20"),  # documentation
)


def literal(host: str) -> Address | None:
    """Return the address that the text is, in its usual form; None if it is none."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def is_name(host: str) -> bool:
    """Tell whether the text is a DNS name in lower case, without a final dot."""
    return len(host) <= _MAX_NAME_CHARACTERS and bool(_NAME.fullmatch(host))


def is_public(address: Address) -> bool:
    """Tell whether the address is an ordinary one of the public internet.

    Every special-purpose range is refused. Of the forms that embed an IPv4 address
    only 64:ff9b::/96, which DNS64 gives, is judged as the IPv4 address itself; the
    others (mapped, compatible, 6to4, Teredo, local NAT64) are refused whole.

    Source:
        IANA special-purpose address registries; RFC 6052 §3.1 for 64:ff9b::/96.
    """
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
        if address not in _GLOBAL_IPV6:
            return False
    return not any(address in network for network in _SPECIAL)


class SystemResolver:
    """Addresses of a name from the operating system, on threads of its own.

    A look-up cannot be cancelled and may hang for many seconds; on the event loop's
    shared threads it would hold up everybody's work.

    Args:
        threads: look-ups at the same time.
    """

    def __init__(self, threads: int = 8) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def __call__(self, host: str, port: int) -> list[str]:
        """Return every address, in the system's order of preference.

        Raises:
            OSError: the name has no address or the look-up failed.
        """
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads,
            lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM),
        )
        return [str(sockaddr[0]) for *_, sockaddr in found]


class Pinned(httpcore2.AsyncNetworkBackend):
    """Connects to the addresses that were checked, whatever the name says now.

    Args:
        addresses: literal addresses, tried in this order.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Return a connection to the first address that takes one.

        Args:
            host: the name that the addresses were checked for; never looked up.
            port: TCP port.
            timeout: seconds for each address.
            local_address: address to connect from.
            socket_options: as httpcore defines them.

        Raises:
            ConnectError: the last address did not take the connection.
            ConnectTimeout: the last address did not answer in time.
        """
        backend = cast("httpcore2.AsyncNetworkBackend", httpcore2.AnyIOBackend())
        failure: Exception = httpcore2.ConnectError(f"no address for {host}")
        for address in self._addresses:
            try:
                return await backend.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure
