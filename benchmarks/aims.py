"""What we aim at, as ratios within one run, and what was reached."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from benchmarks.figures import Key, Round, p50_ratio, rate, rate_ratio
from benchmarks.rows import (
    AT_LIMIT,
    BARE_1,
    BARE_16,
    CEILING,
    EMBEDDINGS,
    ENGINE,
    HANDWRITTEN,
    INT8,
    LITSERVE,
    OVERLOAD,
    TOO_MANY,
    TORCH_BF16,
    TORCH_FP32,
)
from benchmarks.stores import CLIENTS, LIVEZ, MONGODB, PUT, SCAN, SQLITE, UPLOAD, VECTOR
from pydantic import BaseModel

_WHOLE = 1000  # from there on a rate is told without decimals


class Reached(BaseModel):
    """One ratio or rate, beside what we aim at; no speed is ever asserted.

    Attributes:
        what: in words.
        value: median over the rounds; None if it was not measured.
        sign: whether the value is to be at least or at most the aim.
        aim: stated before it was measured.
    """

    what: str
    value: float | None
    sign: Literal[">=", "<="]
    aim: float

    @property
    def is_met(self) -> bool:
        """Whether the value is on the right side of the aim."""
        if self.value is None:
            return False
        return self.value >= self.aim if self.sign == ">=" else self.value <= self.aim

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.what}: not measured (aim {self.sign} {self.aim:g})"
        verdict = "" if self.is_met else ", NOT reached"
        value = f"{self.value:.2f}" if self.value < _WHOLE else f"{self.value:.0f}"
        return f"{self.what}: {value} (aim {self.sign} {self.aim:g}{verdict})"


class _Aim(NamedTuple):
    what: str
    row: Key
    base: Key
    aim: float
    sign: Literal[">=", "<="] = ">="
    ratio: Callable[[Key, Key, Sequence[Round]], float | None] = rate_ratio


def reached(rounds: Sequence[Round], many: int, limit: int) -> list[Reached]:
    """Return everything that we aim at.

    Args:
        rounds: what was measured.
        many: the most clients of the rows that compare servers.
        limit: how many dinoserve lets wait.
    """
    return [
        Reached(
            what=aim.what,
            value=aim.ratio(aim.row, aim.base, rounds),
            sign=aim.sign,
            aim=aim.aim,
        )
        for aim in (*_ENGINE_AIMS, *_http_aims(many, limit), *_STORE_AIMS)
    ]


_ENGINE_AIMS = (
    _Aim("engine / PyTorch fp32, batch 16", (ENGINE, 0), (TORCH_FP32, 0), 4),
    _Aim("engine / PyTorch bf16, batch 16", (ENGINE, 0), (TORCH_BF16, 0), 1.5),
    _Aim("engine / best matrix product", (ENGINE, 0), (CEILING, 0), 0.85),
    _Aim("int8 / engine, batch 16", (INT8, 0), (ENGINE, 0), 1.5),
)


_STORE_AIMS = (
    _Aim(
        f"cached embedding, {CLIENTS} clients / {LIVEZ}",
        (VECTOR, CLIENTS),
        (LIVEZ, CLIENTS),
        0.6,
    ),
    _Aim(
        f"200 kB upload, {CLIENTS} clients / bare put",
        (UPLOAD[SQLITE], CLIENTS),
        (PUT, 0),
        0.7,
    ),
    _Aim(
        "vectors read from MongoDB, a second",
        (SCAN[MONGODB], 0),
        (SCAN[SQLITE], 0),
        30_000,
        ratio=rate,
    ),
)


def _http_aims(many: int, limit: int) -> list[_Aim]:
    http, clients = (EMBEDDINGS, many), f"{many} clients"
    return [
        _Aim(f"HTTP, {clients} / bare decode + forward", http, (BARE_16, 0), 0.85),
        _Aim(f"HTTP, {clients} / hand-written", http, (HANDWRITTEN, many), 4),
        _Aim(f"HTTP, {clients} / LitServe", http, (LITSERVE, many), 1.3),
        _Aim(
            "p50, 1 client / bare decode + forward, batch 1",
            (EMBEDDINGS, 1),
            (BARE_1, 0),
            1.15,
            "<=",
            p50_ratio,
        ),
        _Aim(
            f"throughput, {TOO_MANY} times too many clients / just not too many",
            (OVERLOAD, TOO_MANY * limit),
            (AT_LIMIT, limit),
            0.95,
        ),
    ]
