"""Characters: who or what should look the same in many pictures, and what it is by."""

import binascii
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from dinoserve.domain.assets import Asset, Metadata
from dinoserve.domain.geometry import Box
from dinoserve.errors import InvalidInputError

CHARACTER_ID_PATTERN: Final = r"^[0-9a-f]{32}$"
MAX_PAGE: Final = 100
"""Characters or checks of one page; each may hold a megabyte."""
MAX_REFERENCES: Final = 16
"""References of one character."""
MAX_MASK_BYTES: Final = 65_536
"""Bytes of one mask, as a PNG."""

# PNG, third edition (W3C, 2025), §5.2 and §11.2.1: eight bytes of signature, then the
# chunk IHDR: width, height, depth, type of colour; two of the types have alpha.
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEAD_BYTES = 33
_WITH_ALPHA = {4, 6}


@dataclass(frozen=True, slots=True)
class Region:
    """Where in a picture the subject is; neither: it is found.

    Attributes:
        box: in upright pixels.
        mask: a PNG of the upright picture's size, without transparency; pixels that
            are not black are the subject.
    """

    box: Box | None = None
    mask: bytes | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """An asset, and where in it the subject is."""

    asset_id: str
    region: Region = Region()


@dataclass(frozen=True, slots=True)
class Character:
    """Who or what should look the same in many pictures.

    Attributes:
        id: 32 hex digits.
        collection: that its references are of, and what is checked.
        references: assets, each once; at most `MAX_REFERENCES`. One that is erased
            leaves them.
        attributes: JSON, by the rules of an asset's metadata.
        created_at: aware, UTC, microseconds.
    """

    id: str
    collection: str
    name: str
    references: tuple[Reference, ...]
    created_at: datetime
    attributes: Metadata = field(default_factory=dict[str, object])


class Check(NamedTuple):
    """What a check of an asset against a character found; it goes with either.

    Attributes:
        recipe: that was compared under; another check of the same three takes its
            place.
        reference_id: the asset of the best reference; the check goes with it, too.
        findings: JSON, at most 64 KiB.
    """

    character_id: str
    asset_id: str
    recipe: str
    reference_id: str
    checked_at: datetime
    findings: Metadata


def check_box(box: Box, asset: Asset, name: str) -> Box:
    """Return the box if it lies inside the asset's upright picture.

    Raises:
        InvalidInputError: it does not; `field` is the name.
    """
    width, height = asset.image.width, asset.image.height
    left, top, right, bottom = box
    if 0 <= left < right <= width and 0 <= top < bottom <= height:
        return box
    raise InvalidInputError(
        f"The box must lie inside the picture of asset {asset.id}, which is"
        f" {width} x {height} pixels when upright, right and bottom above left and"
        " top.",
        field=name,
        limit=[width, height],
        value=list(box),
    )


def check_mask(png: bytes, asset: Asset, name: str) -> bytes:
    """Return the PNG if by its head it is a mask of the asset's upright picture.

    Raises:
        InvalidInputError: it is no PNG, has transparency, too many bytes or another
            size; `field` is the name.
    """
    if len(png) > MAX_MASK_BYTES:
        raise InvalidInputError(
            f"A mask may be {MAX_MASK_BYTES} bytes; this one is {len(png)}. Save it"
            " with one bit for each pixel.",
            field=name,
            limit=MAX_MASK_BYTES,
            value=len(png),
        )
    if len(png) < _HEAD_BYTES or not png.startswith(_SIGNATURE):
        raise InvalidInputError("A mask is a PNG.", field=name)
    if png[25] in _WITH_ALPHA or b"tRNS" in png:
        raise InvalidInputError(
            "A mask has no transparency: black is background, all else the subject.",
            field=name,
        )
    size = int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
    if size == (asset.image.width, asset.image.height):
        return png
    raise InvalidInputError(
        f"The mask is {size[0]} x {size[1]} pixels, the upright picture"
        f" {asset.image.width} x {asset.image.height}.",
        field=name,
        limit=[asset.image.width, asset.image.height],
        value=list(size),
    )


def mask_bytes(text: str, name: str) -> bytes:
    """Return the PNG that base64 text holds, alone or as a data URI.

    Raises:
        InvalidInputError: it is no base64; `field` is the name.
    """
    payload = text.removeprefix("data:image/png;base64,")
    try:
        return b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError("A mask is a PNG in base64.", field=name) from error


def check_each_once(shown: Sequence[Reference], name: str, limit: int) -> None:
    """Pass if they are few enough, and each asset is among them once.

    Raises:
        InvalidInputError: too many, or one twice; `field` is the name, or one of them.
    """
    if len(shown) > limit:
        raise InvalidInputError(
            f"There may be {limit} of them.", field=name, limit=limit, value=len(shown)
        )
    seen: set[str] = set()
    for at, each in enumerate(shown):
        if each.asset_id in seen:
            raise InvalidInputError(
                f"An asset is named once; {each.asset_id} is named again.",
                field=f"{name}[{at}]",
                value=each.asset_id,
            )
        seen.add(each.asset_id)
