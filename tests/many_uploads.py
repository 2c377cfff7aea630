"""Store many streams at once and print the memory that it took.

Run as `python many_uploads.py ENDPOINT BUCKET COUNT`. A process of its own, since the
tests' has PyTorch in it.
"""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from dinoserve.adapters.objects import Bucket, S3Objects
from dinoserve.adapters.objects.bucket import S3Limits

# The 20 MB that were promised take long: `DINOSERVE_TEST_LONG` asks for them. Seven are
# two parts already, and two hundred of them several times the bound on memory.
SIZE_BYTES = 20_000_000 if os.environ.get("DINOSERVE_TEST_LONG") else 7_000_000
_CHUNK_BYTES = 256 * 1024


async def _stream() -> AsyncIterator[bytes]:
    for start in range(0, SIZE_BYTES, _CHUNK_BYTES):
        yield bytes(min(_CHUNK_BYTES, SIZE_BYTES - start))


async def _upload(objects: S3Objects, number: int) -> None:
    name = f"{number:064x}"
    await objects.put(name, _stream())
    if await objects.size(name) != SIZE_BYTES:
        raise SystemExit(f"{name} is not whole")
    await objects.delete(name)  # the server holds all of it in memory


async def _main(endpoint: str, name: str, count: int) -> None:
    bucket = Bucket(name, "many", endpoint, "auto", "anybody", "anything")
    objects = await S3Objects.open(bucket, S3Limits(put_s=600))
    await asyncio.gather(*(_upload(objects, number) for number in range(count)))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
    # Not getrusage's figure: that one begins with the memory of whoever started us.
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    print(int(peak) * 1024)  # noqa: T201 - a script's answer
