"""Pictures in the bucket that others put there: `ports.ImageListing`."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import obstore

from dinoserve.adapters.objects.answers import answered, answers
from dinoserve.adapters.objects.bucket import Bucket, S3Limits, connect
from dinoserve.domain.assets import IMAGE_ENDINGS
from dinoserve.errors import ImageTooLargeError, InvalidInputError, NotFoundError

_BATCH = 1000


class BucketPictures:
    """Reads pictures in a bucket, and none of what the object stores keep there.

    Names are keys. Keys come in the order of their bytes, as S3 servers list them.

    Args:
        bucket: where; below its prefix our own objects lie.
        max_bytes: of one picture.
    """

    def __init__(
        self, bucket: Bucket, max_bytes: int, limits: S3Limits | None = None
    ) -> None:
        self._limits = limits or S3Limits()
        self._own = f"{bucket.prefix}/" if bucket.prefix else ""
        self._max_bytes = max_bytes
        # Who put pictures there had no key of ours to seal them with.
        self._store = connect(replace(bucket, customer_key=None), self._limits)

    def check(self, place: str) -> None:
        """Pass if the prefix is not below that of our own objects."""
        if self._own and f"{place.strip('/')}/".startswith(self._own):
            raise InvalidInputError(
                "Below this prefix dinoserve keeps its own objects"
                " (DINOSERVE_OBJECTS); name another one.",
                field="prefix",
                value=place[:200],
            )

    async def names(
        self, place: str, after: str | None
    ) -> AsyncGenerator[Sequence[str]]:
        """Yield the keys of pictures; a prefix ends where a part of the key does.

        Raises:
            UnavailableError: the bucket does not answer.
        """
        pages = obstore.list(  # pyright: ignore[reportUnknownMemberType] - its overload for Arrow, which is not installed
            self._store, place.strip("/") or None, offset=after, chunk_size=_BATCH
        )
        async for page in answers(pages, self._limits.answer_s):
            keys = [meta["path"] for meta in page]
            yield [key for key in keys if self._is_meant(key)]

    async def read(self, name: str) -> bytes:
        """Return the bytes of one object; UnavailableError: no answer."""
        self.check(name)
        async with answered(self._limits.request_s):
            try:
                found = await obstore.get_async(self._store, name)
            except FileNotFoundError as error:
                if "NoSuchBucket" in str(error):
                    raise
                raise NotFoundError(f"There is no object {name[:200]}.") from error
            self._check_size(found.meta["size"])
            return bytes(await found.bytes_async())

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise ImageTooLargeError(
                f"An image may have {self._max_bytes} bytes; this object has {size}.",
                field="key",
                limit=self._max_bytes,
                value=size,
            )

    def _is_meant(self, key: str) -> bool:
        is_own = self._own and key.startswith(self._own)
        is_hidden = key.startswith(".") or "/." in key
        return key.lower().endswith(IMAGE_ENDINGS) and not is_own and not is_hidden
