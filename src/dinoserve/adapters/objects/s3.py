"""Bytes under their SHA-256, in a bucket behind the S3 protocol (Cloudflare R2)."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import Self
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError

from dinoserve.adapters.objects.answers import answered, answers, missing
from dinoserve.adapters.objects.bucket import Bucket, S3Limits, connect
from dinoserve.adapters.objects.names import (
    CHUNK_BYTES,
    check_range,
    digest_of,
    folders_of,
    key_of,
)
from dinoserve.adapters.objects.parts import PART_BYTES, Parts
from dinoserve.errors import StartUpError, UnavailableError
from dinoserve.ports import Contents, SignedMethod, StoredObject

# What begins and is answered in one request, so that a caller who reads slowly
# holds no answer open for longer than servers allow.
_SEGMENT_BYTES = 4 * 1024 * 1024
# Tells how the place was begun: its text is one of the two below.
_CHECK_NAME = "dinoserve-check"
_PLAIN, _SSE_C = b"plain", b"sse-c"
_OTHER_KEY = (
    "It was begun with another DINOSERVE_S3_SSE_C_KEY, or without one. Set that one, or"
    " another bucket or prefix in DINOSERVE_OBJECTS."
)
# Signature version 4 knows no longer ones.
_MAX_EXPIRES_S = 7 * 24 * 3600


class S3Objects:
    """`ports.ObjectStore` in a bucket: `[prefix/]ab/cd/<sha256>`. Made by `open`.

    Raises:
        ValueError: a digest that is not 64 hex digits, a range that is none.
    """

    def __init__(self, bucket: Bucket, limits: S3Limits) -> None:
        self._bucket = bucket
        self._limits = limits
        self._root = f"{bucket.prefix}/" if bucket.prefix else ""
        self._store = connect(bucket, limits)
        self._turn = asyncio.Semaphore(limits.uploads)

    @classmethod
    async def open(cls, bucket: Bucket, limits: S3Limits | None = None) -> Self:
        """Return the store, after it was asked whether it takes and gives bytes.

        Raises:
            StartUpError: it does not; which setting to look at.
        """
        objects = cls(bucket, limits or S3Limits())
        try:
            await objects._check()
        except UnavailableError as error:
            raise StartUpError(
                f"The bucket {bucket.name} at {bucket.endpoint}: {error.detail}"
            ) from error
        return objects

    async def put(self, sha256: str, data: Contents) -> None:
        """Store the bytes; return when the server has acknowledged them.

        Bytes of the same length already there are taken for the same, unless a
        stream of more than 5 MiB is given, which replaces them.

        Raises:
            StorageFullError: a quota or the server's disk is full.
            UnavailableError: no answer in time, or a refusal; nothing was stored.
        """
        key = self._key(sha256)
        # A caller that leaves must not leave parts of an upload behind.
        if isinstance(data, bytes):
            await asyncio.shield(self._put_bytes(key, data))
        else:
            await asyncio.shield(self._put_stream(key, data))

    async def size(self, sha256: str) -> int | None:
        """Return the number of bytes. Absent: None."""
        return await self._size(self._key(sha256))

    async def read(self, sha256: str, start: int, stop: int) -> AsyncIterator[bytes]:
        """Yield the bytes [start, stop) in chunks of 256 KiB at most.

        Raises:
            UnavailableError: before the first chunk, if the bytes are missing.
        """
        key = self._key(sha256)
        check_range(start, stop)
        for begin in range(start, stop, _SEGMENT_BYTES):
            # The first question asks for the last byte too: is all of it there?
            end = min(begin + _SEGMENT_BYTES, stop)
            if begin == start and end < stop and (await self._size(key) or 0) < stop:
                raise missing()
            async for chunk in self._segment(key, begin, end):
                yield chunk

    async def delete(self, sha256: str) -> None:
        """Remove the bytes for good, unless the bucket keeps versions."""
        key = self._key(sha256)
        async with answered(self._limits.answer_s):
            with suppress(FileNotFoundError):
                await obstore.delete_async(self._store, key)

    async def scan(self, prefix: str = "") -> AsyncIterator[StoredObject]:
        """Yield the objects named so, a thousand at a time in memory."""
        # A bucket lists below whole parts of a key only.
        below = self._root + "".join(f"{part}/" for part in folders_of(prefix))
        pages = obstore.list(  # pyright: ignore[reportUnknownMemberType] - its overload for Arrow, which is not installed
            self._store, below or None, chunk_size=1000
        )
        async for page in answers(pages, self._limits.answer_s):
            for meta in page:
                sha256 = digest_of(meta["path"])
                # Below our prefix may lie other stores with prefixes of their own.
                is_ours = sha256 and meta["path"] == self._key(sha256)
                if sha256 and is_ours and sha256.startswith(prefix):
                    yield StoredObject(sha256, meta["size"], meta["last_modified"])

    async def sign(
        self, method: SignedMethod, sha256: str, expires_s: int
    ) -> str | None:
        """Return a URL that lets its holder read or write these bytes for a while.

        None with a customer key: its holder would need the key as well.

        Raises:
            ValueError: not 1 second to 7 days.
        """
        key = self._key(sha256)
        if not 1 <= expires_s <= _MAX_EXPIRES_S:
            raise ValueError(f"{expires_s} s is not between 1 s and 7 days")
        if self._bucket.customer_key:
            return None
        async with answered(self._limits.answer_s):
            return await obstore.sign_async(
                self._store, method, key, timedelta(seconds=expires_s)
            )

    async def ping(self) -> str:
        """Return bucket and server if the bucket can be read."""
        if await self._size(self._root + _CHECK_NAME) is None:
            raise UnavailableError(
                "The bucket, or the object in it that tells how it was begun, is gone.",
                port="objects",
            )
        return (
            f"S3 bucket {self._bucket.name} at {urlsplit(self._bucket.endpoint).netloc}"
        )

    async def _size(self, key: str) -> int | None:
        async with answered(self._limits.answer_s):
            try:
                return (await obstore.head_async(self._store, key))["size"]
            except FileNotFoundError:
                return None

    async def _segment(self, key: str, start: int, stop: int) -> AsyncIterator[bytes]:
        async with answered(self._limits.answer_s):
            found = await obstore.get_async(
                self._store, key, options={"range": (start, stop)}
            )
        if tuple(found.range) != (start, stop):
            raise missing()
        async for chunk in answers(found.stream(CHUNK_BYTES), self._limits.answer_s):
            for begin in range(0, len(chunk), CHUNK_BYTES):
                yield bytes(chunk[begin : begin + CHUNK_BYTES])

    async def _put_bytes(self, key: str, data: bytes) -> None:
        async with answered(self._limits.put_s):
            try:
                await self._create(key, data)
            except AlreadyExistsError:
                if await self._size(key) != len(data):
                    await obstore.put_async(self._store, key, data, use_multipart=False)

    async def _create(self, key: str, data: bytes) -> None:
        await obstore.put_async(
            self._store, key, data, mode="create", use_multipart=False
        )

    async def _put_stream(self, key: str, data: AsyncIterable[bytes]) -> None:
        parts = Parts(data, self._limits.put_s)
        async with answered(self._limits.put_s):
            await self._turn.acquire()
        try:
            first = await parts.first()
            if len(first) < PART_BYTES:
                await self._put_bytes(key, first)
            else:
                await self._put_parts(key, parts)
        finally:
            self._turn.release()

    async def _put_parts(self, key: str, parts: Parts) -> None:
        # No time limit of ours around it: cancelled, it would leave its parts there.
        async with answered(None):
            await obstore.put_async(
                self._store,
                key,
                parts.all(),
                chunk_size=PART_BYTES,
                max_concurrency=2,
            )

    async def _check(self) -> None:
        """Pass if the place can be written, and was begun with the same key."""
        key = self._root + _CHECK_NAME
        how = _SSE_C if self._bucket.customer_key else _PLAIN
        if await self._begun_how(key) not in (how, None):
            raise UnavailableError(_OTHER_KEY, port="objects")
        async with answered(self._limits.answer_s):
            with suppress(AlreadyExistsError):
                await self._create(key, how)

    async def _begun_how(self, key: str) -> bytes | None:
        async with answered(self._limits.answer_s, on_bad_request=_OTHER_KEY):
            try:
                found = await obstore.get_async(self._store, key)
                return bytes(await found.bytes_async())
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                return None

    def _key(self, sha256: str) -> str:
        return self._root + key_of(sha256)
