"""Fetching the images behind URLs, without becoming a window into the inside.

A caller who names a URL makes this server open a connection. What that may reach is
decided here: https to public addresses only, and the connection goes to the very
address that was checked. `docs/decisions/0005-fetching-urls.md` tells why so.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address

import httpcore2
import httpx2

from dinoserve.adapters.fetch_addresses import (
    Address,
    Pinned,
    Resolve,
    SystemResolver,
    is_name,
    is_public,
    literal,
)
from dinoserve.errors import (
    FetchDisabledError,
    FetchFailedError,
    FetchRefusedError,
    OverloadedError,
)

MAX_URL_CHARACTERS = 4096
MAX_REDIRECTS = 3

_MAX_CONNECT_TRIES = 4
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """How much a fetch may cost.

    Attributes:
        timeout_s: seconds for one URL in all: names, connections, redirects, body.
            Waiting for a free slot is bounded by the same number, on its own.
        max_bytes: length of a body.
        concurrency: fetches at the same time.
        ports: TCP ports that URLs may name.
    """

    timeout_s: float = 10.0
    max_bytes: int = 32 * 1024 * 1024
    concurrency: int = 16
    ports: frozenset[int] = frozenset({443})


class DisabledFetcher:
    """The fetcher of a server that fetches nothing."""

    async def fetch(self, url: str) -> bytes:
        """Refuse.

        Raises:
            FetchDisabledError: always.
        """
        del url
        raise FetchDisabledError(
            "This server does not fetch URLs. Send the image's bytes, or let the"
            " operator set DINOSERVE_FETCH_URLS=true.",
            field="url",
        )


class GuardedFetcher:
    """Fetches https URLs from public addresses, and from nowhere else.

    Args:
        limits: how much a fetch may cost.
        resolve: gives every address of (name, port); raises OSError for none.
        is_allowed: which addresses may be connected to.
        tls: how certificates are verified; default: the system's authorities.
    """

    def __init__(
        self,
        limits: FetchLimits | None = None,
        *,
        resolve: Resolve | None = None,
        is_allowed: Callable[[Address], bool] = is_public,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits or FetchLimits()
        self._resolve = resolve or SystemResolver(self._limits.concurrency)
        self._is_allowed = is_allowed
        self._tls = tls or httpx2.create_ssl_context(trust_env=False)
        self._slots = asyncio.Semaphore(self._limits.concurrency)

    async def fetch(self, url: str) -> bytes:
        """Return the body, within the size and time that are allowed.

        Raises:
            FetchRefusedError: scheme, credentials, port, host or address is not
                allowed, here or where a redirect leads.
            FetchFailedError: no answer of status 200 in time and size.
            OverloadedError: no slot became free in time.
        """
        target = _checked(url, self._limits.ports)
        async with self._slot():
            try:
                async with asyncio.timeout(self._limits.timeout_s):
                    return await self._follow(target)
            except TimeoutError as error:
                limit = self._limits.timeout_s
                raise _failed(
                    f"The URL did not give its bytes within {limit:g} s.", limit=limit
                ) from error

    @asynccontextmanager
    async def _slot(self) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                await self._slots.acquire()
        except TimeoutError as error:
            raise OverloadedError("Too many URLs are being fetched.") from error
        try:
            yield
        finally:
            self._slots.release()

    async def _follow(self, target: httpx2.URL) -> bytes:
        for _ in range(MAX_REDIRECTS + 1):
            answer = await self._get(target)
            if isinstance(answer, bytes):
                return answer
            target = _checked(answer, self._limits.ports, base=target)
        raise _failed(
            f"The URL redirects more than {MAX_REDIRECTS} times.", limit=MAX_REDIRECTS
        )

    async def _get(self, target: httpx2.URL) -> bytes | str:
        """Return the body, or where a redirect leads."""
        addresses = (await self._addresses(target))[:_MAX_CONNECT_TRIES]
        # One share of the time for each address, and one for the body.
        share_s = self._limits.timeout_s / (len(addresses) + 1)
        connection = httpcore2.AsyncHTTPConnection(
            origin=_core_url(target).origin,
            ssl_context=self._tls,
            network_backend=Pinned(addresses),
        )
        with _told_as_failures(target):
            async with (
                connection,
                connection.stream(
                    "GET",
                    _core_url(target),
                    headers={
                        "Host": target.netloc.decode("ascii"),
                        "Accept": "image/*",
                        "Accept-Encoding": "identity",
                        "User-Agent": "dinoserve",
                    },
                    extensions={"timeout": {"connect": share_s}},
                ) as response,
            ):
                return await self._read(response)

    async def _addresses(self, target: httpx2.URL) -> list[str]:
        host, port = target.raw_host.decode("ascii"), _port(target)
        try:
            found = [host] if literal(host) else await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise _failed(f"The name {host} does not resolve.", host=host) from error
        if not all(self._is_allowed(ip_address(address)) for address in found):
            raise _refused(
                "The URL leads to an address that this server does not fetch from;"
                " only public addresses are allowed. Send the image's bytes instead."
            )
        return list(dict.fromkeys(found))

    async def _read(self, response: httpcore2.Response) -> bytes | str:
        headers = {name.lower(): value for name, value in response.headers}
        if response.status in _REDIRECTS and b"location" in headers:
            return headers[b"location"].decode("utf-8", "replace")
        _check_head(response.status, headers)
        self._check_size(int(headers.get(b"content-length", b"0")))
        body = bytearray()
        async for chunk in response.aiter_stream():
            body += chunk
            self._check_size(len(body))
            # A flood of tiny chunks arrives without a pause; others must run too.
            await asyncio.sleep(0)
        return bytes(body)

    def _check_size(self, size: int) -> None:
        if size > self._limits.max_bytes:
            raise _failed(
                f"The URL gives more than the {self._limits.max_bytes} bytes that an"
                " image may have.",
                limit=self._limits.max_bytes,
                value=size,
            )


def _checked(
    text: str, ports: frozenset[int], base: httpx2.URL | None = None
) -> httpx2.URL:
    """Return the URL in normal form; its host is a name or a literal address."""
    if len(text) > MAX_URL_CHARACTERS:
        raise _refused(
            f"A URL may have {MAX_URL_CHARACTERS} characters; this has {len(text)}.",
            limit=MAX_URL_CHARACTERS,
            value=len(text),
        )
    url = _parsed(text, base)
    if url.scheme != "https":
        raise _refused(
            "Only https URLs are fetched.", limit="https", value=url.scheme[:80]
        )
    if url.userinfo:
        raise _refused("A URL to fetch must not carry a user name or password.")
    if _port(url) not in ports:
        raise _refused(
            "The URL names a port that this server does not fetch from.",
            limit=sorted(ports),
            value=_port(url),
        )
    return _with_plain_host(url)


def _parsed(text: str, base: httpx2.URL | None) -> httpx2.URL:
    if _CONTROL.search(text):
        raise _refused("A URL must not contain control characters.")
    try:
        return base.join(text) if base else httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError) as error:
        raise _refused("This is not a well-formed URL.") from error


def _with_plain_host(url: httpx2.URL) -> httpx2.URL:
    host = url.raw_host.decode("ascii").removesuffix(".")
    if not literal(host) and not is_name(host):
        raise _refused(
            "The URL's host is neither a name nor an IP address in its usual form."
        )
    return url if host == url.raw_host.decode("ascii") else url.copy_with(host=host)


def _port(url: httpx2.URL) -> int:
    return 443 if url.port is None else url.port


def _core_url(url: httpx2.URL) -> httpcore2.URL:
    return httpcore2.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )


def _check_head(status: int, headers: dict[bytes, bytes]) -> None:
    if status != HTTPStatus.OK:
        raise _failed(f"The URL answered with status {status}, not 200.", value=status)
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1").lower()
    if encoding != "identity":
        raise _failed(
            "The URL gives its answer compressed although asked not to.",
            value=encoding[:80],
        )


@contextmanager
def _told_as_failures(target: httpx2.URL) -> Generator[None]:
    host = target.raw_host.decode("ascii")
    try:
        yield
    except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
        if isinstance(error.__cause__, ssl.SSLError):
            raise _failed(
                f"{host} did not prove its identity over TLS.", reason=str(error)
            ) from error
        raise _failed(f"No connection to {host} came about.", host=host) from error
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        raise _failed(f"{host} broke off or answered nonsense.") from error


def _refused(detail: str, **extra: object) -> FetchRefusedError:
    return FetchRefusedError(detail, field="url", **extra)


def _failed(detail: str, **extra: object) -> FetchFailedError:
    return FetchFailedError(detail, field="url", **extra)
