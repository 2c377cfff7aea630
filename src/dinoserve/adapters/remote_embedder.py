"""The engine of another dinoserve, used over HTTP as if it were here."""

import asyncio
import os
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Sequence,
)
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Any, Protocol, Self, TypeVar, get_args

import httpx2

from dinoserve.adapters.remote_answers import (
    away,
    card_of,
    check_recipe,
    embedded_of,
    features_of,
    refusal,
)
from dinoserve.domain.assets import ImageInfo
from dinoserve.domain.framing import Framing
from dinoserve.domain.urgency import Priority, priority
from dinoserve.errors import InvalidInputError, UnavailableError
from dinoserve.ports import Embedded, EngineLoad, Features, ImageBytes, ModelCard
from dinoserve.telemetry import Metrics, request_id

_T = TypeVar("_T")

# Two batches of the engine: one computes while the images of the next are decoded.
_AT_ONCE = 32
# An image may wait there behind as many as are admitted; the rest is for dead ends.
_TIMEOUT = httpx2.Timeout(60, connect=5, read=120, pool=None)
_CHECK_TIMEOUT_S = 5.0
_MODEL, _READY = "/v1/models/default", "/readyz"


class Permits(Protocol):
    """Says how many images may be under way, and how many are."""

    def hold(self, images: int) -> AbstractContextManager[None]:
        """Hold one permit per image during the block; raise OverloadedError."""
        ...

    def load(self) -> EngineLoad:
        """Return how many permits are held."""
        ...


class RemoteEmbedder:
    """Plays `Embedder`: another server computes, and this process decodes.

    Every image is decoded here as well, so that a bad one is refused before it is
    sent, and its size is known.

    Args:
        http: client of the other server, with its address and key.
        card: what that has loaded.
        inspect: decodes an image fully and raises as `Embedder.inspect`; blocks.
        permits: for images that were asked for here.
        metrics: where is told whether the engine answers.
    """

    def __init__(
        self,
        http: httpx2.AsyncClient,
        card: ModelCard,
        inspect: Callable[[ImageBytes], ImageInfo],
        permits: Permits,
        metrics: Metrics,
    ) -> None:
        self._http = http
        self._card = card
        self._inspect = inspect
        self._permits = permits
        self._metrics = metrics
        # By priority, or others would wait behind bulk.
        self._decoding = _turns(os.cpu_count() or 1)
        self._asking = _turns(_AT_ONCE)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        place: tuple[str, str],
        inspect: Callable[[ImageBytes], ImageInfo],
        permits: Permits,
        metrics: Metrics,
    ) -> AsyncGenerator[Self]:
        """Yield the engine at an address, and close its connections at the end.

        Args:
            place: address of the other server, and the key it asks for; empty: none.
            inspect: as of the class, as what follows.
            permits: as of the class.
            metrics: as of the class.

        Raises:
            UnavailableError: it does not answer, refuses the key, or is no dinoserve.
        """
        async with _client(*place) as http:
            card = card_of(await _send(http, "GET", _MODEL))
            metrics.engine_healthy.set(1)
            yield cls(http, card, inspect, permits, metrics)

    @property
    def card(self) -> ModelCard:
        """Return what is loaded there; `details` says that it is `remote`."""
        return self._card

    async def embed(self, images: Sequence[ImageBytes]) -> list[Embedded]:
        """Return one result per image, in order; see `ports.Embedder.embed`.

        A bad image fails the whole call before any is sent.
        """
        if not images:
            return []
        with self._permits.hold(len(images)), self._noted():
            found = await self._inspect_all(images)
            return await _in_order(
                [
                    self._embed(at, image, info)
                    for at, (image, info) in enumerate(zip(images, found, strict=True))
                ]
            )

    async def features(
        self, images: Sequence[ImageBytes], framing: Framing | None = None
    ) -> list[Features]:
        """Return every token of every image; see `ports.Embedder.features`."""
        if not images:
            return []
        outputs = "cls,registers,patches" if self._card.registers else "cls,patches"
        fields = {"outputs": outputs, "format": "npz"}
        if framing:
            fields |= framing._asdict()
        with self._permits.hold(len(images)), self._noted():
            found = await self._inspect_all(images)
            async with self._asking[priority.get()]:
                files = [("file", await _read(image)) for image in images]
                answer = await _send(
                    self._http, "POST", "/v1/features", data=fields, files=files
                )
            return await asyncio.to_thread(
                features_of, answer.content, self._card, found
            )

    async def inspect(self, image: ImageBytes) -> ImageInfo:
        """Decode fully, here and without the model; `field` of an error is `image`."""
        with self._permits.hold(1):
            return await self._decode(image)

    async def check(self) -> None:
        """Pass if the other server is ready and still has the same recipe.

        Raises:
            UnavailableError: it is not, has not, or does not answer.
        """
        with self._noted():
            await _send(self._http, "GET", _READY, timeout=_CHECK_TIMEOUT_S)
            answer = await _send(self._http, "GET", _MODEL, timeout=_CHECK_TIMEOUT_S)
            check_recipe(card_of(answer).recipe.id, self._card.recipe)

    def load(self) -> EngineLoad:
        """Return how many images of this process wait; others' are not told of."""
        return self._permits.load()

    async def _inspect_all(self, images: Sequence[ImageBytes]) -> list[ImageInfo]:
        async def one(at: int, image: ImageBytes) -> ImageInfo:
            try:
                return await self._decode(image)
            except InvalidInputError as error:
                raise error.at(f"images[{at}]") from error

        return await _in_order([one(at, image) for at, image in enumerate(images)])

    async def _decode(self, image: ImageBytes) -> ImageInfo:
        async with self._decoding[priority.get()]:
            with self._metrics.stage("decode"):
                return await asyncio.to_thread(self._inspect, image)

    async def _embed(self, at: int, image: ImageBytes, info: ImageInfo) -> Embedded:
        # One image a request: the server there joins those that come together, and
        # tells tokens by request.
        async with self._asking[priority.get()]:
            answer = await _send(
                self._http,
                "POST",
                "/v1/embeddings",
                at,
                params={"encoding_format": "base64"},
                headers={"content-type": "application/octet-stream"},
                content=await _read(image),
            )
        return embedded_of(answer, self._card.recipe, info)

    @contextmanager
    def _noted(self) -> Generator[None]:
        try:
            yield
        except UnavailableError:
            self._metrics.engine_healthy.set(0)
            raise
        self._metrics.engine_healthy.set(1)


def _client(url: str, key: str) -> httpx2.AsyncClient:
    most = len(get_args(Priority)) * _AT_ONCE
    return httpx2.AsyncClient(
        base_url=url,
        headers={"authorization": f"Bearer {key}"} if key else {},
        timeout=_TIMEOUT,
        limits=httpx2.Limits(max_connections=most, max_keepalive_connections=most),
        # Proxies of the environment are not for a server of one's own.
        trust_env=False,
    )


async def _send(
    http: httpx2.AsyncClient, method: str, path: str, at: int = 0, **options: Any
) -> httpx2.Response:
    """Return the answer of a request that changes nothing there.

    Args:
        http: client of the server.
        method: of HTTP.
        path: below its address.
        at: position of the first image in it, for errors.
        options: as `httpx2.AsyncClient.request` takes them.

    Raises:
        InvalidInputError, OverloadedError: as an engine here.
        UnavailableError: there is no answer, or none that can be used.
    """
    headers = {
        "x-request-priority": priority.get(),
        "x-request-id": request_id.get(),
        **options.pop("headers", {}),
    }
    answer = await _answered(
        lambda: http.request(method, path, headers=headers, **options)
    )
    if answer.is_success:
        return answer
    if path == _READY:
        raise away("is not ready.")
    raise refusal(answer, at)


async def _answered(
    request: Callable[[], Awaitable[httpx2.Response]],
) -> httpx2.Response:
    """Return the answer; a connection that broke is tried anew, once."""
    try:
        try:
            return await request()
        except (httpx2.NetworkError, httpx2.RemoteProtocolError):
            return await request()
    except httpx2.TimeoutException as error:
        raise away("did not answer in time.") from error
    except httpx2.TransportError as error:
        raise away(f"cannot be reached ({error!s:.200}).") from error


async def _in_order(works: Sequence[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Return what all give; the first in order that fails ends them all."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        return [await task for task in tasks]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(image: ImageBytes) -> bytes:
    return image if isinstance(image, bytes) else await asyncio.to_thread(image.read)


def _turns(count: int) -> dict[Priority, asyncio.Semaphore]:
    return {who: asyncio.Semaphore(count) for who in get_args(Priority)}
