"""A data folder full of vectors, and its index alone: what a server adds to it.

`python -m benchmarks.searched FOLDER VECTORS`: fills the folder as an embedded server
keeps it; then orders come in on standard input.
"""

import asyncio
import shutil
import sys
import time
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from benchmarks.hard_vectors import draw, spread
from benchmarks.protocol import READY, Sample
from pydantic import BaseModel

from dinoserve.adapters.mapped_index import Limits, MappedIndex
from dinoserve.domain.assets import Asset, ImageInfo, asset_id
from dinoserve.domain.vectors import Embedding, Matrix
from dinoserve.ports import Space
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from dinoserve.wiring import open_services

HITS: Final = 10
COLLECTION: Final = "default"
MODEL: Final = "bundled"
"""Its vectors have 384 numbers; nothing is embedded."""
_TOGETHER: Final = 1000


class SearchOrder(BaseModel):
    """Search a copy of the folder's index by these assets, in turn."""

    first: int
    searches: int


def id_of(number: int) -> str:
    """Return the id of an asset in the folder, counted from 0."""
    return asset_id(COLLECTION, _digest(number))


async def fill(folder: Path, vectors: Matrix) -> str:
    """Store an asset for each vector; return the recipe that they are of."""
    settings = Settings.model_validate(
        {"data": folder, "model": MODEL, "device": "cpu", "engine": "torch"}
    )
    async with open_services(settings, Metrics()) as services:
        recipe = services.embeddings.recipe.id
        documents = services.embeddings.documents
        for start in range(0, len(vectors), _TOGETHER):
            some = enumerate(vectors[start : start + _TOGETHER], start)
            pairs = [(_asset(at), Embedding(id_of(at), recipe, v)) for at, v in some]
            await asyncio.gather(*(documents.add(*pair) for pair in pairs))
    return recipe


async def search(
    folder: Path, vectors: Matrix, recipe: str, order: SearchOrder
) -> Sample:
    """Return how long each search took in the index alone."""
    copy, space = folder.parent / "copied-index", Space(COLLECTION, recipe)
    await asyncio.to_thread(shutil.copytree, folder / "index", copy)
    took_ms: list[float] = []
    async with MappedIndex.open(copy, Limits(), Metrics()) as index:
        if not await index.count(space):  # few are in no file
            ids = [id_of(number) for number in range(len(vectors))]
            await index.upsert(space, ids, vectors)
        cpu, start = time.process_time(), time.perf_counter()
        for query in vectors[order.first : order.first + order.searches]:
            begun = time.perf_counter()
            # As the service does: the asset itself is its own best hit.
            await index.search(space, query, HITS + 1, None)
            took_ms.append((time.perf_counter() - begun) * 1000)
        wall_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    await asyncio.to_thread(shutil.rmtree, copy)
    return Sample(done=order.searches, wall_s=wall_s, cpu_s=cpu_s, latencies_ms=took_ms)


def _digest(number: int) -> str:
    return sha256(b"%d" % number).hexdigest()


def _asset(number: int) -> Asset:
    return Asset(
        id=id_of(number),
        collection=COLLECTION,
        sha256=_digest(number),
        filename="photo.jpg",
        image=ImageInfo("image/jpeg", 500, 375),
        size_bytes=48_213,
        created_at=datetime.now(UTC),
    )


def _main(folder: Path, count: int) -> None:
    vectors = draw(spread(), count, 1)
    recipe = asyncio.run(fill(folder, vectors))
    print(READY, flush=True)
    for line in sys.stdin:
        order = SearchOrder.model_validate_json(line)
        sample = asyncio.run(search(folder, vectors, recipe, order))
        print(sample.model_dump_json(), flush=True)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]))
