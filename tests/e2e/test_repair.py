"""`dinoserve doctor --repair` beside a server on MongoDB, a bucket and Redis."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dinoserve.adapters.objects import Bucket, S3Objects
from odd_files import photo
from redis_server import RedisServer
from servers import running
from stored import data_uri, search, sha256, uploaded

pytestmark = [pytest.mark.needs(name) for name in ("mongodb", "moto", "redis")]

DEADLINE_S = 20
TIMEOUT_S = 90


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    server = RedisServer().start()
    yield server
    server.remove()


@pytest.fixture
def production(production: dict[str, str], redis: RedisServer) -> dict[str, str]:
    """As others have it, with a cache."""
    return production | {"DINOSERVE_REDIS": redis.url}


def doctor(data: Path, env: dict[str, str], *options: str) -> dict[str, Any]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("DINOSERVE_")}
    result = subprocess.run(
        [sys.executable, "-m", "dinoserve", "doctor", "--json", *options],
        cwd=data,
        env=clean | env | {"DINOSERVE_DATA": str(data)},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert result.returncode in {0, 1}, result.stderr
    return json.loads(result.stdout)


async def test_a_lost_original_is_found_and_its_record_erased_while_a_server_runs(
    tmp_path: Path, production: dict[str, str], bucket: Bucket, redis: RedisServer
) -> None:
    def in_redis(key: str) -> bool:
        return any(key.encode() in name for name in redis.everything())

    objects = await S3Objects.open(bucket)
    query = {"image": data_uri(photo(1, 64, 48))}
    with running(tmp_path, **production) as server, server.client() as client:
        keys = [uploaded(client, photo(seed, 64, 48)) for seed in range(3)]
        embedded = client.post("/v1/embeddings", json={"input": keys[1]})
        assert embedded.status_code == 200
        assert in_redis(keys[1])
        await objects.delete(sha256(photo(1, 64, 48)))

        found = doctor(tmp_path, production, "--objects")
        assert [lost["id"] for lost in found["lost"]] == [keys[1]]
        assert client.get(f"/v1/assets/{keys[1]}").status_code == 200

        repaired = doctor(tmp_path, production, "--repair")["repaired"]
        assert (repaired["erased"], repaired["failed"]) == (1, 0)
        assert client.get(f"/v1/assets/{keys[1]}").status_code == 404
        assert not in_redis(keys[1])
        deadline = time.monotonic() + DEADLINE_S
        while keys[1] in search(client, query, k=10):
            assert time.monotonic() < deadline

        assert uploaded(client, photo(1, 64, 48)) == keys[1]
        assert doctor(tmp_path, production, "--objects")["lost"] == []


async def test_young_bytes_without_a_record_are_left_to_the_servers(
    tmp_path: Path, production: dict[str, str], bucket: Bucket
) -> None:
    objects = await S3Objects.open(bucket)
    await objects.put(sha256(b"young"), b"young")
    told = doctor(tmp_path, production, "--repair")
    assert told["looked_at"]["originals"] == 1
    assert told["orphans"]["originals"] == []
    assert await objects.size(sha256(b"young")) == 5
