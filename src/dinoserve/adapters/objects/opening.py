"""From settings to a store: a folder, or a bucket."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from pydantic import SecretStr

from dinoserve.adapters.objects.bucket import Bucket
from dinoserve.adapters.objects.files import erase_unfinished, on_disk
from dinoserve.adapters.objects.formats import read_key
from dinoserve.adapters.objects.local import LocalObjects
from dinoserve.adapters.objects.pictures import BucketPictures
from dinoserve.adapters.objects.s3 import S3Objects
from dinoserve.errors import StartUpError
from dinoserve.ports import Area

_S3 = "s3://"
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}


class Place(Protocol):
    """What the settings say of where objects lie; see `docs/settings.md`."""

    data: Path
    objects: str
    objects_key: SecretStr | None
    s3_endpoint: str | None
    s3_region: str
    s3_access_key: SecretStr | None
    s3_secret_key: SecretStr | None
    s3_sse_c_key: SecretStr | None


# The originals' names are older than the others.
_FOLDERS: Mapping[Area, str] = {
    "originals": "objects",
    "derived": "derived",
    "incoming": "incoming",
    "results": "results",
}


async def open_place(
    place: Place, area: Area = "originals"
) -> LocalObjects | S3Objects:
    """Return the store; there is nothing to close.

    Raises:
        StartUpError: which setting is wrong, or does not fit what is stored there.
        UnavailableError: the folder cannot be made or read.
    """
    if place.objects.startswith(_S3):
        return await S3Objects.open(_bucket(place, area))
    if place.s3_sse_c_key:
        raise StartUpError(
            "DINOSERVE_S3_SSE_C_KEY seals objects in a bucket, and DINOSERVE_OBJECTS"
            " is a folder: set DINOSERVE_OBJECTS_KEY instead."
        )
    key = _key("DINOSERVE_OBJECTS_KEY", place.objects_key)
    folder = place.data / _FOLDERS[area]
    if area == "incoming":  # few files, and no note elsewhere of what was begun
        await on_disk(erase_unfinished, folder)
    return await asyncio.to_thread(LocalObjects, folder, key=key)


def open_pictures(place: Place, max_bytes: int) -> BucketPictures | None:
    """Return the pictures in the bucket of the objects; None: they are in a folder.

    Args:
        place: where the objects lie.
        max_bytes: of one picture.

    Raises:
        StartUpError: which setting is wrong.
    """
    if not place.objects.startswith(_S3):
        return None
    return BucketPictures(_bucket(place, "originals"), max_bytes)


def _bucket(place: Place, area: Area) -> Bucket:
    if place.objects_key:
        raise StartUpError(
            "DINOSERVE_OBJECTS_KEY seals objects in a folder, and DINOSERVE_OBJECTS is"
            " a bucket: set DINOSERVE_S3_SSE_C_KEY instead."
        )
    if not (place.s3_access_key and place.s3_secret_key):
        raise StartUpError(
            f"{place.objects} needs DINOSERVE_S3_ACCESS_KEY and"
            " DINOSERVE_S3_SECRET_KEY."
        )
    name, _, prefix = place.objects.removeprefix(_S3).partition("/")
    return Bucket(
        name=name,
        prefix=_prefix(prefix, area),
        endpoint=_endpoint(place),
        region=place.s3_region,
        access_key=place.s3_access_key.get_secret_value(),
        secret_key=place.s3_secret_key.get_secret_value(),
        customer_key=_key("DINOSERVE_S3_SSE_C_KEY", place.s3_sse_c_key),
    )


def _prefix(of_all: str, area: Area) -> str:
    parts = [of_all.strip("/"), "" if area == "originals" else _FOLDERS[area]]
    return "/".join(filter(None, parts))


def _endpoint(place: Place) -> str:
    if not place.s3_endpoint:
        if place.s3_region == "auto":
            raise StartUpError(
                "Set DINOSERVE_S3_ENDPOINT to the server's URL; of Amazon's, setting"
                " DINOSERVE_S3_REGION is enough."
            )
        return f"https://s3.{place.s3_region}.amazonaws.com"
    url = urlsplit(place.s3_endpoint)
    if url.scheme not in {"http", "https"} or not url.hostname or url.path.strip("/"):
        raise StartUpError(
            "DINOSERVE_S3_ENDPOINT is a URL without bucket or path:"
            " https://ACCOUNT.r2.cloudflarestorage.com"
        )
    if (
        url.scheme == "http"
        and place.s3_sse_c_key
        and url.hostname not in _THIS_MACHINE
    ):
        raise StartUpError(
            "DINOSERVE_S3_SSE_C_KEY goes with every request: DINOSERVE_S3_ENDPOINT"
            " must begin with https."
        )
    return place.s3_endpoint.rstrip("/")


def secret_key(setting: str, text: SecretStr) -> bytes:
    """Return the 32 bytes that the setting holds as base64; StartUpError names it."""
    try:
        return read_key(text.get_secret_value())
    except ValueError as error:
        raise StartUpError(
            f"{setting}: {error}; `openssl rand -base64 32` makes one."
        ) from error


def _key(setting: str, text: SecretStr | None) -> bytes | None:
    return secret_key(setting, text) if text else None
