"""The API of a running server, as the commands call it."""

import asyncio
import ipaddress
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
)
from contextlib import asynccontextmanager
from typing import Annotated, Any, NoReturn, TypeAlias

import httpx2
import typer
from rich.console import Console

from dinoserve.cli.refusals import ApiError, refusal
from dinoserve.domain.urgency import Priority
from dinoserve.errors import DinoserveError
from dinoserve.settings import Settings

Json: TypeAlias = dict[str, Any]
Url = Annotated[
    str | None,
    typer.Option("--url", help="The server; else DINOSERVE_HOST and DINOSERVE_PORT."),
]
Key = Annotated[
    str | None,
    typer.Option("--key", help="API key; else the first clear DINOSERVE_API_KEYS."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

# Reading is long: an upload waits for its forward behind everybody else's.
_TIMEOUT = httpx2.Timeout(60, connect=5, read=300, pool=None)
# Of a stream: the server sends a sign of life every 15 seconds.
_QUIET = httpx2.Timeout(60, connect=5, read=40, pool=None)
_ALIVE_TIMEOUT_S = 5.0
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 4.0
_LONGEST_RETRY_AFTER_S = 60
# What may work a moment later: a full server, where callers take turns, and one that
# restarts.
_TRIES = {429: 20, 502: 6, 503: 6, 504: 6}
_LOST = {
    "type": "/problems/connection-lost",
    "detail": "The server lives but closes the connection on this request.",
}


class NoServerError(Exception):
    """Nothing answers at the URL; the message says how to start a server."""

    def __init__(self, url: str, reason: object) -> None:
        super().__init__(
            f"No dinoserve answers at {url} ({str(reason) or type(reason).__name__})."
            " Start one with `make run`, or name another with --url."
        )


class Client:
    """Requests to one server, repeated while it is busy.

    Args:
        http: has base URL and key.
        sleep: waits for that many seconds.

    Attributes:
        patience_s: seconds to wait for a server that stopped answering; 0 gives up
            at once.
        priority: of every request; the server lets `bulk` go last.
    """

    def __init__(
        self,
        http: httpx2.AsyncClient,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.patience_s = 0.0
        self.priority: Priority = "interactive"
        self._http = http
        self._sleep = sleep

    @property
    def url(self) -> str:
        """Return the server's address."""
        return str(self._http.base_url).rstrip("/")

    async def get(self, path: str, **options: Any) -> Json:
        """Return the JSON object that a GET gives; errors as `send`."""
        return _object(await self.send("GET", path, **options))

    async def post(self, path: str, body: Json) -> Json:
        """Return the JSON object that a POST of JSON gives; errors as `send`."""
        return _object(await self.send("POST", path, json=body))

    async def send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Return the answer of a request that may safely be sent twice.

        Args:
            method: of HTTP.
            path: below the server's address.
            options: as `httpx2.AsyncClient.request` takes them.

        Raises:
            ApiError: the server refused it, or was busy many times.
            NoServerError: nothing answers, or not again within `patience_s`.
        """
        pauses, tried = _pauses(), 0
        while True:
            answer = await self._once(method, path, options)
            tried += 1
            if answer.is_success:
                return answer
            if tried >= _TRIES.get(answer.status_code, 1):
                raise refusal(answer)
            await self._sleep(_retry_after_s(answer) or next(pauses))

    @asynccontextmanager
    async def stream(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[httpx2.Response]:
        """Give the answer of one GET, to be read as it comes.

        Raises:
            ApiError: the server refused it.
            NoServerError: nothing answers, or the connection broke.
        """
        try:
            async with self._http.stream(
                "GET", path, headers=headers, timeout=_QUIET
            ) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise refusal(answer)
                yield answer
        except httpx2.TransportError as error:
            raise NoServerError(self.url, error) from error

    async def _once(self, method: str, path: str, options: Json) -> httpx2.Response:
        """Return an answer; one that was lost is a 503 once the server is back."""
        own = {"x-request-priority": self.priority}
        asked: Json = {**options, "headers": {**own, **options.get("headers", {})}}
        try:
            return await self._http.request(method, path, **asked)
        except httpx2.TransportError as error:
            await self._wait_for_server(error)
            return httpx2.Response(503, json=_LOST)

    async def _wait_for_server(self, error: httpx2.TransportError) -> None:
        """Return once the server lives; it may have lived all the time."""
        reason: object = error
        waited_s = 0.0
        for pause in _pauses():
            if waited_s >= self.patience_s:
                raise NoServerError(self.url, reason) from error
            await self._sleep(pause)
            waited_s += pause
            try:
                answer = await self._http.get("/livez", timeout=_ALIVE_TIMEOUT_S)
            except httpx2.TransportError as again:
                reason = again
                continue
            if answer.is_success:
                return
            reason = f"status {answer.status_code}"


@asynccontextmanager
async def connect(
    settings: Settings, url: str | None, key: str | None
) -> AsyncGenerator[Client]:
    """Open a client of the server at `url`, else of the one the settings describe.

    Raises:
        typer.BadParameter: no such URL or key can be.
    """
    given = key if key is not None else _first_clear_key(settings)
    if not (given.isascii() and given.isprintable()):
        raise typer.BadParameter("a key has only printable ASCII", param_hint="--key")
    async with httpx2.AsyncClient(
        base_url=_checked(url or default_url(settings)),
        headers={"authorization": f"Bearer {given}"} if given else {},
        timeout=_TIMEOUT,
        # Proxies of the environment are not for a server of one's own.
        trust_env=False,
    ) as http:
        yield Client(http)


def run(work: Coroutine[Any, Any, int]) -> NoReturn:
    """Do a command's work and end with the exit code it returns.

    Raises:
        typer.Exit: that code; 1 if the server refused; 2 if nothing could be done.
    """
    try:
        code = asyncio.run(work)
    except ApiError as error:
        code = 2 if error.code == "unauthorized" else 1
        complain(str(error))
    except NoServerError as error:
        code = 2
        complain(str(error))
    except DinoserveError as error:
        code = 2
        complain(error.detail)
    raise typer.Exit(code)


def complain(text: str) -> None:
    """Print one line on standard error."""
    console = Console(stderr=True)
    console.print(f"dinoserve: {printable(text)}", markup=False, soft_wrap=True)


def printable(text: str) -> str:
    """Return the text without what could steer a terminal or is no Unicode."""
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def default_url(settings: Settings) -> str:
    """Return where a server of these settings is reached from this machine."""
    host = settings.host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{settings.port}"
    if address.is_unspecified:
        host = "127.0.0.1" if address.version == 4 else "::1"  # noqa: PLR2004 - IPv4
    if address.version == 6:  # noqa: PLR2004 - IPv6
        host = f"[{host}]"
    return f"http://{host}:{settings.port}"


def _checked(url: str) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise typer.BadParameter(str(error), param_hint="--url") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise typer.BadParameter(
            "it looks like http://127.0.0.1:8000", param_hint="--url"
        )
    if parsed.userinfo:
        raise typer.BadParameter("give the key with --key", param_hint="--url")
    return parsed


def _first_clear_key(settings: Settings) -> str:
    keys = (key.get_secret_value() for key in settings.api_keys)
    return next((key for key in keys if not key.startswith("sha256:")), "")


def _pauses() -> Iterator[float]:
    """Yield seconds for ever, doubling up to a bound."""
    pause = _FIRST_PAUSE_S
    while True:
        yield pause
        pause = min(pause * 2, _LONGEST_PAUSE_S)


def _retry_after_s(answer: httpx2.Response) -> int:
    text = answer.headers.get("retry-after", "")
    return min(int(text), _LONGEST_RETRY_AFTER_S) if text.isdecimal() else 0


def _object(answer: httpx2.Response) -> Json:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        return body  # pyright: ignore[reportUnknownVariableType] - JSON of any shape
    raise ApiError("not-dinoserve", f"{answer.request.url} did not answer with JSON.")
