"""Renditions: pictures made of an original, by size, fit, format and quality."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar, get_args

from dinoserve.domain.geometry import Box
from dinoserve.errors import InvalidInputError, RenditionRefusedError

Format: TypeAlias = Literal["avif", "webp", "jpeg", "png"]
RenditionFit: TypeAlias = Literal["scale-down", "contain", "cover"]
Encoding: TypeAlias = Literal["avif", "webp", "jpeg", "png", "plain"]
"""A format; `plain` is PNG where something is transparent, else JPEG."""

MAX_SIDE_PX: Final = 4096
"""Pixels of a rendition's side, whoever asks; so it has 16,777,216 at most."""
MAX_QUALITY: Final = 100

# What was measured for them: `docs/decisions/0013-renditions.md`.
_QUALITIES: Mapping[Encoding, int] = {"avif": 60, "webp": 80, "jpeg": 80, "plain": 80}
_PREFIX_DIGITS = 32
_NUMBER = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_SHOWN = 40
_T = TypeVar("_T", bound=str)


class Rendition(NamedTuple):
    """What was asked for; `read_rendition` checks it.

    Attributes:
        width: pixels, None where only the height matters.
        height: pixels, None where only the width matters.
        fit: as Cloudflare Images names them. `contain` is as large as fits into width
            and height; `scale-down` the same, but never larger than the original;
            `cover` fills both, and what stands over is cut off on both sides alike.
        format: `auto` is what suits the caller best.
        quality: 1 to `MAX_QUALITY`, as the format's encoder counts; None is usual.
    """

    width: int | None
    height: int | None
    fit: RenditionFit = "scale-down"
    format: Literal["auto"] | Format = "auto"
    quality: int | None = None

    def query(self) -> dict[str, str]:
        """Return the parameters that `read_rendition` makes the same of."""
        given = self._asdict().items()
        return {name: str(value) for name, value in given if value is not None}


PARAMETERS: Final = frozenset(Rendition._fields)
"""The names of a rendition's parameters in a query."""


def read_rendition(given: Mapping[str, str]) -> Rendition | None:
    """Return what these parameters ask for; None: none is given, so the original.

    Args:
        given: parameters by name; those not in `PARAMETERS` are passed over.

    Raises:
        InvalidInputError: a parameter is out of bounds, or none of width and height is
            there, or a quality goes with PNG, which loses nothing.
    """
    if not given.keys() & PARAMETERS:
        return None
    asked = Rendition(
        width=_number(given, "width", MAX_SIDE_PX),
        height=_number(given, "height", MAX_SIDE_PX),
        fit=_word(given, "fit", "scale-down", get_args(RenditionFit)),
        format=_word(given, "format", "auto", ("auto", *get_args(Format))),
        quality=_number(given, "quality", MAX_QUALITY),
    )
    if asked.width is None and asked.height is None:
        raise InvalidInputError(
            f"A rendition has a width, a height or both, up to {MAX_SIDE_PX} pixels;"
            " leave every parameter away for the original.",
            field="width",
            limit=MAX_SIDE_PX,
        )
    if asked.format == "png" and asked.quality:
        raise InvalidInputError(
            "A PNG loses nothing, so it has no quality; leave it away, or ask for"
            " another format.",
            field="quality",
            value=asked.quality,
        )
    return asked


@dataclass(frozen=True, slots=True)
class Offer:
    """What everybody may ask for; the rest takes a signed link.

    Attributes:
        sizes: pixels of a side.
        qualities: what may be named; the usual ones need no name.
    """

    sizes: tuple[int, ...]
    qualities: tuple[int, ...]

    def check(self, asked: Rendition) -> None:
        """Pass if this is offered; RenditionRefusedError names what is."""
        _check_offered("width", asked.width, self.sizes)
        _check_offered("height", asked.height, self.sizes)
        _check_offered("quality", asked.quality, self.qualities)


class Drawing(NamedTuple):
    """How a rendition comes out, whatever it was asked for with.

    Attributes:
        source: the part of the upright original that it shows.
        width: pixels.
        height: pixels.
        quality: 0 where the encoding has none.
    """

    source: Box
    width: int
    height: int
    encoding: Encoding
    quality: int


def drawing(asked: Rendition, size: tuple[int, int], encoding: Encoding) -> Drawing:
    """Return how a rendition of an original comes out; equal ones are one.

    A side that was not asked for follows the other, up to `MAX_SIDE_PX`: beyond it
    both are smaller.

    Args:
        asked: what was asked for.
        size: width and height of the upright original, pixels.
        encoding: what its format came to.
    """
    width, height = asked.width or MAX_SIDE_PX, asked.height or MAX_SIDE_PX
    source = Box(0, 0, *size)
    if asked.fit == "cover" and asked.width and asked.height:
        source = _middle(size, (width, height))
    else:
        width, height = _inside(size, (width, height), grow=asked.fit != "scale-down")
    quality = 0 if encoding == "png" else asked.quality or _QUALITIES[encoding]
    return Drawing(source, width, height, encoding, quality)


def derived_name(sha256: str, drawn: Drawing, version: str) -> str:
    """Return the 64 hex digits that a rendition is stored under.

    Args:
        sha256: of the original; its half comes first, see `derived_prefix`.
        drawn: what it looks like.
        version: what draws and encodes it; another may draw it otherwise.
    """
    told = repr((*map(float, drawn.source), *drawn[1:], version))
    digest = hashlib.sha256(told.encode()).hexdigest()
    return derived_prefix(sha256) + digest[:_PREFIX_DIGITS]


def derived_prefix(sha256: str) -> str:
    """Return what the names of all that is derived from an original begin with."""
    return sha256[:_PREFIX_DIGITS]


def _inside(
    size: tuple[int, int], room: tuple[int, int], *, grow: bool
) -> tuple[int, int]:
    """Return the largest size of the same aspect in the room, each side at least 1."""
    if not grow and size[0] <= room[0] and size[1] <= room[1]:
        return size
    # Whole numbers: exact, and a half goes up.
    over, under = min(
        ((room[0], size[0]), (room[1], size[1])), key=lambda f: f[0] / f[1]
    )
    width, height = (max(1, (2 * side * over + under) // (2 * under)) for side in size)
    return min(width, room[0]), min(height, room[1])


def _middle(size: tuple[int, int], shape: tuple[int, int]) -> Box:
    """Return the largest part of the shape's aspect in the middle; not rounded."""
    width = min(size[0], size[1] * shape[0] / shape[1])
    height = min(size[1], size[0] * shape[1] / shape[0])
    left, top = (size[0] - width) / 2, (size[1] - height) / 2
    return Box(left, top, left + width, top + height)


def _number(given: Mapping[str, str], field: str, limit: int) -> int | None:
    text = given.get(field)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text) or int(text) > limit:
        raise InvalidInputError(
            f"The {field} is a whole number from 1 to {limit}.",
            field=field,
            limit=limit,
            value=text[:_SHOWN],
        )
    return int(text)


def _word(given: Mapping[str, str], field: str, usual: _T, known: Sequence[_T]) -> _T:
    text = given.get(field, usual)
    for word in known:
        if text == word:
            return word
    raise InvalidInputError(
        f"The {field} is one of: {', '.join(known)}.",
        field=field,
        limit=list(known),
        value=text[:_SHOWN],
    )


def _check_offered(field: str, value: int | None, offered: tuple[int, ...]) -> None:
    if value is None or value in offered:
        return
    raise RenditionRefusedError(
        f"Without a signed link the {field} is one of:"
        f" {', '.join(map(str, offered))}. `POST /v1/assets/{{asset_id}}/links` signs"
        " others.",
        field=field,
        limit=list(offered),
        value=value,
    )
