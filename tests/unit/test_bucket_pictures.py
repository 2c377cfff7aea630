"""Pictures in a bucket: what of it is ours, and where there is none."""

import os
from dataclasses import replace

import obstore
import pytest

from dinoserve.adapters.objects import (
    Bucket,
    BucketPictures,
    S3Objects,
    open_pictures,
)
from dinoserve.adapters.objects.bucket import S3Limits, connect
from dinoserve.errors import InvalidInputError
from dinoserve.settings import Settings
from object_servers import clear, fresh_bucket

NOWHERE = Bucket("pictures", "own", "http://127.0.0.1:9", "auto", "k", "s")


@pytest.mark.needs("moto")
async def test_our_own_objects_are_never_among_them() -> None:
    bucket = fresh_bucket("moto")
    own = replace(bucket, prefix=f"{bucket.prefix}/own")
    await (await S3Objects.open(own)).put("ab" * 32, b"an original")
    store = connect(bucket, S3Limits())
    for name in ("own/a.jpg", "owner/b.jpg"):
        await obstore.put_async(store, f"{bucket.prefix}/{name}", b"x")

    listing = BucketPictures(own, 1000)
    names = [one async for batch in listing.names(bucket.prefix, None) for one in batch]

    assert names == [f"{bucket.prefix}/owner/b.jpg"]
    await clear(bucket)


@pytest.mark.parametrize("prefix", ["own", "/own/", "own/ab/cd"])
def test_a_prefix_of_our_own_is_refused(prefix: str) -> None:
    listing = BucketPictures(NOWHERE, 1000)

    with pytest.raises(InvalidInputError, match="its own objects"):
        listing.check(prefix)


def test_a_prefix_that_begins_alike_is_not_our_own() -> None:
    BucketPictures(NOWHERE, 1000).check("owner")


@pytest.mark.needs("moto")
async def test_pictures_are_read_without_the_key_that_seals_our_objects() -> None:
    bucket = fresh_bucket("moto")
    store = connect(bucket, S3Limits())
    await obstore.put_async(store, f"{bucket.prefix}/photos/a.jpg", b"x")
    own = replace(bucket, prefix="own", customer_key=os.urandom(32))

    assert await BucketPictures(own, 9).read(f"{bucket.prefix}/photos/a.jpg") == b"x"
    await clear(bucket)


def test_without_a_bucket_there_are_none() -> None:
    assert open_pictures(Settings.model_validate({"objects": "file:"}), 1000) is None
