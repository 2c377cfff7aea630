"""How far dense features shrink, and how long that takes, for the cache.

Run: `python -m benchmarks.feature_packing`; wants pyarrow for zstd and lz4.
"""

import asyncio
import time
import zlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dinoserve.loading import open_embedder
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics

PICTURES = sorted((Path(__file__).parents[1] / "tests" / "pictures").glob("*.jpg"))
ROUNDS = 20
Tokens = NDArray[np.float32]


def planes(tokens: Tokens) -> bytes:
    """Return the bytes of each place together: exponents beside exponents."""
    return tokens.view(np.uint8).reshape(-1, 4).T.tobytes()


def halves(tokens: Tokens) -> bytes:
    """Return float16, which loses digits."""
    return tokens.astype(np.float16).tobytes()


def exponents(tokens: Tokens) -> bytes:
    """Return sign and exponent packed by zlib, the rest as it is."""
    split = planes(tokens)
    rest = len(split) // 4 * 3
    return split[:rest] + zlib.compress(split[rest:], 1)


def with_arrow(name: str) -> Callable[[Tokens], bytes]:
    """Return a way of packing `planes` by one of pyarrow's codecs."""
    codec = cast("Any", pa).Codec(name)  # it has no stubs
    return lambda tokens: codec.compress(planes(tokens), asbytes=True)


WAYS: dict[str, Callable[[Tokens], bytes]] = {
    "zlib 1": lambda tokens: zlib.compress(tokens.tobytes(), 1),
    "zlib 1, planes": lambda tokens: zlib.compress(planes(tokens), 1),
    "zlib 1, exponents only": exponents,
    "zstd, planes": with_arrow("zstd"),
    "lz4, planes": with_arrow("lz4"),
    "float16": halves,
    "float16, zlib 1": lambda tokens: zlib.compress(halves(tokens), 1),
}


async def features() -> list[Tokens]:
    """Return the tokens that the bundled model makes of the pictures."""
    async with AsyncExitStack() as stack:
        embedder = await open_embedder(Settings.model_validate({}), Metrics(), stack)
        found = await embedder.features([path.read_bytes() for path in PICTURES])
    return [np.ascontiguousarray(each.tokens, np.float32) for each in found]


def measured(pack: Callable[[Tokens], bytes], all_tokens: list[Tokens]) -> str:
    """Return size and time of one way."""
    size = sum(tokens.nbytes for tokens in all_tokens)
    packed = sum(len(pack(tokens)) for tokens in all_tokens)
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        for tokens in all_tokens:
            pack(tokens)
        best = min(best, time.perf_counter() - begun)
    return f"{size / packed:5.2f} times smaller, {best * 1e9 / size:6.1f} ms/MB"


def main() -> None:
    """Print a line for each way."""
    all_tokens = asyncio.run(features())
    for name, pack in WAYS.items():
        print(f"{name:24} {measured(pack, all_tokens)}")
    tokens = np.concatenate(all_tokens)
    lost = tokens.astype(np.float16).astype(np.float32)
    cosines = (tokens * lost).sum(1) / (
        np.linalg.norm(tokens, axis=1) * np.linalg.norm(lost, axis=1)
    )
    worst = float(np.abs(tokens - lost).max())
    print(f"float16 loses up to {worst:.2g}, cosine {cosines.min():.9f}")


if __name__ == "__main__":
    main()
