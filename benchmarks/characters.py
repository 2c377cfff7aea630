"""How long a check of assets against a character takes: `-m benchmarks.characters`.

Stores in memory, the bundled model on float32 PyTorch, features from the cache: what
is timed is reading originals and features, cutting out foregrounds, matching patches,
and keeping what was found. `--layers 12` takes a ViT-S/16 with random weights instead.
Beside it, in the same run: the first check, which computes the features, and matrix
products of the size that matching takes. Rounds alternate, and the median is told.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import numpy as np
from benchmarks.machine import this_machine
from benchmarks.model import write_model
from benchmarks.pictures import write_pictures

from dinoserve.domain.characters import Reference
from dinoserve.domain.framing import read_framing
from dinoserve.services import Services
from dinoserve.services.character_checks import CheckRequest
from dinoserve.services.characters import NewCharacter
from dinoserve.services.upload import Upload
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import open_services

ASSETS: Final = 32
REFERENCES: Final = (1, 4, 16)
AIM_S: Final = 1.0
_SIZES: Final = (None, "448")


async def measure(model: str, rounds: int) -> None:
    """Print a row for each number of references and size."""
    settings = Settings.model_validate(
        {
            "documents": "memory:",
            "objects": "memory:",
            "model": model,
            "engine": "torch",
            "precision": "fp32",
            "cache_bytes": 2**29,
        }
    )
    print(f"{this_machine()}; check of {ASSETS} assets, seconds")
    print("| size | references | first | cached | product |\n|---|---|---|---|---|")
    async with open_services(settings, Metrics()) as services:
        ids = await _given(services, ASSETS + max(REFERENCES))
        for size in _SIZES:
            for count in REFERENCES:
                print(await _row(services, ids, (size, count), rounds))


async def _given(services: Services, count: int) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        write_pictures(pictures)
        files = sorted(pictures.iterdir())[:count]
        uploads = [Upload(file.read_bytes()) for file in files]
    return [(await services.assets.upload(each)).asset.id for each in uploads]


async def _row(
    services: Services, ids: list[str], case: tuple[str | None, int], rounds: int
) -> str:
    size, count = case
    references = tuple(Reference(each) for each in ids[ASSETS : ASSETS + count])
    character = await services.characters.create(
        NewCharacter("Ava", references=references)
    )
    framing = read_framing(size, None) if size else None
    shown = [Reference(each) for each in ids[:ASSETS]]
    request = CheckRequest(character.id, shown, framing)

    async def work() -> object:
        return await services.character_checks.check(request)

    first = await _seconds(work)
    times = [(await _seconds(work), _product_s(size, count)) for _ in range(rounds)]
    cached, product = (statistics.median(each) for each in zip(*times, strict=True))
    told = "ok" if cached <= AIM_S else f"above {AIM_S:g}"
    return (
        f"| {size or 'model'} | {count} | {first:.2f} | {cached:.2f} ({told})"
        f" | {product:.3f} |"
    )


def _product_s(size: str | None, count: int) -> float:
    patches = (int(size or "224") // 16) ** 2
    rows = np.ones((patches * ASSETS, 192), np.float32)
    columns = np.ones((patches * count, 192), np.float32)
    start = time.perf_counter()
    np.matmul(rows[: patches * 4], columns.T)
    return (time.perf_counter() - start) * ASSETS / 4


async def _seconds(work: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", type=int, default=0, help="of a ViT-S/16")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = "bundled"
        if options.layers:
            write_model(Path(folder), options.layers)
            model = folder
        asyncio.run(measure(model, options.rounds))


if __name__ == "__main__":
    main()
