"""Real S3 servers as processes of their own, one of a kind for each test process.

Ceph's gateway, as Debian packages it, checks keys, signatures, quotas and customer
keys; moto checks nothing of it, but is there at once. `DINOSERVE_TEST_S3_URL` names a
bucket that takes Ceph's place: `https://KEY:SECRET@HOST/BUCKET?region=auto`.
"""

import atexit
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

import httpx2
import obstore

from ceph_cluster import START_TIMEOUT_S, CephCluster
from dinoserve.adapters.objects import Bucket, S3Objects
from dinoserve.adapters.objects.bucket import S3Limits, connect
from needs import MOTO_SERVER, S3_URL

Kind = Literal["moto", "s3"]
SECRET = "secretsecret"


@asynccontextmanager
async def opened(
    bucket: Bucket, limits: S3Limits | None = None
) -> AsyncGenerator[S3Objects]:
    """Yield the store in the bucket; afterwards nothing is left below its prefix."""
    yield await S3Objects.open(bucket, limits)
    await clear(bucket)


def fresh_bucket(kind: Kind) -> Bucket:
    """Return a bucket of this kind of server, with a prefix that nobody has."""
    return replace(moto() if kind == "moto" else s3(), prefix=f"test/{uuid4().hex}")


async def keys(bucket: Bucket) -> list[str]:
    """Return every key of the bucket that begins with its prefix."""
    store = connect(bucket, S3Limits())
    pages = obstore.list(store, bucket.prefix)  # pyright: ignore[reportUnknownMemberType] - its overload for Arrow, which is not installed
    return [meta["path"] async for page in pages for meta in page]


async def clear(bucket: Bucket) -> None:
    """Erase whatever begins with the bucket's prefix."""
    await obstore.delete_async(connect(bucket, S3Limits()), await keys(bucket))


def make_bucket(bucket: Bucket) -> None:
    """Make it on its server, which may still be starting."""
    store = connect(bucket, S3Limits())
    url = obstore.sign(store, "PUT", "", timedelta(seconds=START_TIMEOUT_S))
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            answer = httpx2.put(url, timeout=START_TIMEOUT_S)
            assert answer.status_code == 200, answer.text
        except httpx2.TransportError:
            assert time.monotonic() < deadline, f"{bucket.endpoint} does not answer"
        else:
            return


@cache
def moto() -> Bucket:
    """Return a bucket of moto, which is started for it."""
    port = free_port()
    command = [str(MOTO_SERVER), "-H", "127.0.0.1", "-p", str(port)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    atexit.register(process.wait, START_TIMEOUT_S)
    atexit.register(process.terminate)
    url = f"http://127.0.0.1:{port}"
    bucket = Bucket("pictures", "", url, "auto", "anybody", SECRET)
    make_bucket(bucket)
    return bucket


@cache
def s3() -> Bucket:
    """Return the bucket that was given, else one of Ceph."""
    if given := os.environ.get(S3_URL):
        return _read(given)
    return ceph_bucket("tests")


def ceph_bucket(user: str, quota_bytes: int | None = None) -> Bucket:
    """Return a bucket of Ceph that belongs to a new user, at most so many bytes."""
    ceph().add_user(user, quota_bytes)
    bucket = Bucket(f"of-{user}", "", ceph().url, "auto", user, SECRET)
    make_bucket(bucket)
    return bucket


@cache
def ceph() -> CephCluster:
    """Return the cluster of this test process, running."""
    cluster = CephCluster()
    atexit.register(cluster.stop)
    return cluster.start()


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _read(url: str) -> Bucket:
    parts = urlsplit(url)
    return Bucket(
        name=parts.path.strip("/"),
        prefix="",
        endpoint=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        region=parse_qs(parts.query).get("region", ["auto"])[0],
        access_key=unquote(parts.username or ""),
        secret_key=unquote(parts.password or ""),
    )
