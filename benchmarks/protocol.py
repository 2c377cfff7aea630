"""What a measuring process is told and what it answers: one JSON line each."""

import sys
from collections.abc import Callable
from typing import Literal, TypeVar

from pydantic import BaseModel

READY = "ready"
Order = TypeVar("Order", bound=BaseModel)


class LoadOrder(BaseModel):
    """Send pictures over HTTP, each client one after the other.

    Attributes:
        url: the server, without a path.
        shape: how a picture is sent, one of `benchmarks.shapes.SHAPES`; or what is
            asked of an asset, one of `benchmarks.shapes.QUESTIONS`.
        clients: how many send at the same time.
        seconds: no picture is sent later than this; what was sent is waited for.
        may_refuse: 429 is no error; who gets it comes back when `Retry-After` says,
            after a second at most.
        assets: ids of the assets that are asked for, in turn.
    """

    url: str
    shape: str
    clients: int
    seconds: float
    may_refuse: bool = False
    assets: list[str] = []


class LoopOrder(BaseModel):
    """Run the engine in a loop, without a server.

    Attributes:
        batch: pictures in a forward.
        decode: begin with JPEG bytes, not with pixels that are ready.
        seconds: no batch is begun later than this.
    """

    batch: int
    decode: bool
    seconds: float


class CeilingOrder(BaseModel):
    """Multiply matrices of every shape for its share of so many seconds."""

    seconds: float


class StoreOrder(BaseModel):
    """Work with a store in this process, without a server.

    Attributes:
        store: `objects` are put; `sqlite` and `mongodb` are read, all vectors at once.
        at_once: how many puts at the same time.
        seconds: nothing is begun later than this.
    """

    store: Literal["objects", "sqlite", "mongodb"]
    at_once: int = 1
    seconds: float


class Sample(BaseModel):
    """What one stretch of measuring gave.

    Attributes:
        done: pictures that were answered well; of a matrix product, as many as its
            operations are worth; of stores, requests, puts or vectors.
        wall_s: from the first one sent to the last one answered.
        cpu_s: processor time of the measuring process itself.
        latencies_ms: of each request that was answered well, of each batch, of each
            reading of all vectors.
        errors: requests that were not answered well.
        first_error: what the first of them got.
        answers: how many came with each status; `none` counts broken connections.
        note: what the figure is of, where the row's name does not tell.
    """

    done: float
    wall_s: float
    cpu_s: float
    latencies_ms: list[float]
    errors: int = 0
    first_error: str = ""
    answers: dict[str, int] = {}
    note: str = ""


def answer_orders(kind: type[Order], measure: Callable[[Order], Sample]) -> None:
    """Say `READY`, then answer each line of standard input, until it is closed."""
    print(READY, flush=True)
    for line in sys.stdin:
        sample = measure(kind.model_validate_json(line))
        print(sample.model_dump_json(), flush=True)
