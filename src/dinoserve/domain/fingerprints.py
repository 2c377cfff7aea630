"""Fingerprints of pictures: a digest of the pixels, and a hash of how they look."""

import hashlib
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.assets import Metadata

METHOD: Final = "fingerprint-1"
"""Under which name fingerprints are kept; another way to make them is another name."""

HASH_BITS: Final = 64
"""Bits of a perceptual hash."""

Hashes: TypeAlias = NDArray[np.uint64]
_Numbers: TypeAlias = NDArray[np.int32]

_SIDE, _FREQUENCIES = 32, 8
# Of 255: what varies less has a hash of its noise.
_LEAST_CONTRAST = 2.0
# ITU-R BT.601 luma.
_LUMA = np.array([0.299, 0.587, 0.114])
# Pairs of one hash in one turn.
_MOST = 20
# Pairs of hashes held at a time, 10 bytes each.
_BLOCK = 250_000

TURNS: Final = (
    "none",
    "mirrored",
    "flipped",
    "rotated_180",
    "transposed",
    "rotated_90",
    "rotated_270",
    "transverse",
)
"""Ways to turn a picture: mirrored left to right, flipped top to bottom, transposed at
its diagonal or the other one, or rotated anticlockwise."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What tells pictures apart without looking at them again.

    Attributes:
        pixels: SHA-256 in hex of width, height and the decoded upright RGB.
        look: perceptual hash of 64 bits; None: the picture is too flat to have one.
    """

    pixels: str
    look: int | None

    def to_json(self) -> Metadata:
        """Return it as a trait's values."""
        look = None if self.look is None else f"{self.look:016x}"
        return {"pixels": self.pixels, "look": look}

    @classmethod
    def read(cls, values: Metadata) -> "Fingerprint":
        """Return what `to_json` gave."""
        look = cast("str | None", values["look"])
        pixels = str(values["pixels"])
        return cls(pixels, None if look is None else int(look, 16))


class NearPairs(NamedTuple):
    """Pairs of hashes that differ little.

    Attributes:
        left: int32 (p,): places of one of each pair.
        right: int32 (p,): of the other; greater than `left`.
        distances: int32 (p,): bits that differ.
        turns: int32 (p,): which of `TURNS` makes the right one lie as the left one.
    """

    left: NDArray[np.int32]
    right: NDArray[np.int32]
    distances: NDArray[np.int32]
    turns: NDArray[np.int32]


def fingerprint(picture: NDArray[np.uint8]) -> Fingerprint:
    """Return the fingerprint of a decoded picture, uint8 (height, width, 3)."""
    height, width = picture.shape[:2]
    digest = hashlib.sha256(f"{width}x{height}\n".encode())
    digest.update(np.ascontiguousarray(picture).data)
    return Fingerprint(digest.hexdigest(), look_of(picture))


def look_of(picture: NDArray[np.uint8]) -> int | None:
    """Return the perceptual hash of a picture; None if it is too flat to have one.

    The luma is averaged to 32 x 32; of its discrete cosine transform, the signs of the
    frequencies 1 to 8 in both directions are the bits, row by row.

    Args:
        picture: uint8 (height, width, 3).

    Source:
        the DCT hash of Zauner, "Implementation and Benchmarking of Perceptual Image
        Hash Functions" (2010), section 3.2, with zero for the median: so mirroring
        and quarter turns change and move bits, and nothing else.
    """
    grey = _shrunk(picture)
    if grey.std() < _LEAST_CONTRAST:
        return None
    basis = _cosines()
    bits = (basis @ grey @ basis.T > 0).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def turned(hashes: Hashes) -> NDArray[np.uint64]:
    """Return the hashes that the pictures would have, were they turned.

    Args:
        hashes: uint64 (n,).

    Returns:
        uint64 (8, n): in the order of `TURNS`.
    """
    square = (-1, _FREQUENCIES, _FREQUENCIES)
    bits = np.unpackbits(hashes.astype(">u8")[:, None].view(np.uint8), axis=1)
    plain = bits.reshape(square).astype(bool)
    odd = np.arange(1, _FREQUENCIES + 1) % 2 == 1
    across, down = odd[None, :], odd[:, None]
    either = across ^ down
    upright = [plain, plain ^ across, plain ^ down, plain ^ either]
    lying = plain.transpose(0, 2, 1)
    turns = [*upright, lying, lying ^ down, lying ^ across, lying ^ either]
    packed = [np.packbits(each.reshape(-1, HASH_BITS), axis=1) for each in turns]
    return np.stack([each.view(">u8")[:, 0].astype(np.uint64) for each in packed])


def turned_picture(picture: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """Return the picture, uint8 (height, width, 3), turned.

    Args:
        picture: of the same type.
        turn: which of `TURNS`, from 0.
    """
    ways = (
        picture,
        picture[:, ::-1],
        picture[::-1],
        picture[::-1, ::-1],
        picture.transpose(1, 0, 2),
        picture.transpose(1, 0, 2)[::-1],
        picture.transpose(1, 0, 2)[:, ::-1],
        picture.transpose(1, 0, 2)[::-1, ::-1],
    )
    return ways[turn]


def near_pairs(hashes: Hashes, distance: int) -> NearPairs:
    """Return every pair of hashes that differ in at most so many bits.

    Each pair once, in the turn that differs least; of equal ones the first. Of more
    than 20 to the right of one, in one turn, the nearest 20 are given: of thousands of
    frames of one film, those of each with all others would be millions.

    Args:
        hashes: uint64 (n,).
        distance: bits, 0 to 64.
    """
    found = [
        _near_in_turn(hashes, lying, distance, turn)
        for turn, lying in enumerate(turned(hashes))
    ]
    left, right, distances, turns = (np.concatenate(each) for each in zip(*found))  # noqa: B905 - four columns of one list
    order = np.lexsort((turns, distances, right, left))
    left, right = left[order], right[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (left[1:] != left[:-1]) | (right[1:] != right[:-1])
    best = order[is_first]
    return NearPairs(left[is_first], right[is_first], distances[best], turns[best])


def _near_in_turn(hashes: Hashes, lying: Hashes, distance: int, turn: int) -> NearPairs:
    """Return the pairs of which the right one lies in this turn."""
    found = [NearPairs(*[np.empty(0, np.int32)] * 4)]
    count = len(hashes)
    step = max(1, _BLOCK // max(count, 1))
    room = _Room.of(step * count)
    for start in range(0, count, step):
        # The left place is smaller: what lies before the block is paired already.
        some, others = hashes[start : start + step], lying[start + 1 :]
        at, of, bits = room.near(some, others, distance)
        is_new = of >= at
        if is_new.any():
            left, right = at[is_new] + start, of[is_new] + start + 1
            turns = np.full(len(left), turn, np.int32)
            found.append(_nearest(NearPairs(left, right, bits[is_new], turns)))
    return NearPairs(*(np.concatenate(each) for each in zip(*found)))  # noqa: B905 - four columns of one list


class _Room(NamedTuple):
    """What a block is compared in: new memory for each takes longer than comparing."""

    differing: NDArray[np.uint64]
    distances: NDArray[np.uint8]
    is_near: NDArray[np.bool_]

    @classmethod
    def of(cls, pairs: int) -> "_Room":
        is_near = np.empty(pairs, np.bool_)
        return cls(np.empty(pairs, np.uint64), np.empty(pairs, np.uint8), is_near)

    def near(
        self, left: Hashes, right: Hashes, distance: int
    ) -> tuple[_Numbers, _Numbers, _Numbers]:
        """Return places of pairs that differ in at most so many bits, and how many."""
        count = len(left) * len(right)
        differing, distances = self.differing[:count], self.distances[:count]
        is_near = self.is_near[:count]
        into = differing.reshape(len(left), len(right))
        np.bitwise_xor(left[:, None], right, out=into)
        np.bitwise_count(differing, out=distances)
        np.less_equal(distances, distance, out=is_near)
        near = np.flatnonzero(is_near)
        at, of = np.divmod(near, max(len(right), 1))
        return (
            at.astype(np.int32),
            of.astype(np.int32),
            distances[near].astype(np.int32),
        )


def _nearest(pairs: NearPairs) -> NearPairs:
    """Return of each left place the pairs that differ least, ties by place."""
    order = np.lexsort((pairs.right, pairs.distances, pairs.left))
    left = pairs.left[order]
    ranks = np.arange(len(left)) - np.searchsorted(left, left)
    kept = order[ranks < _MOST]
    return NearPairs(*(each[kept] for each in pairs))


def _shrunk(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the luma (32, 32): the mean of each part, or its nearest pixel."""
    height, width = picture.shape[:2]
    down, rows = _parts(height)
    across, columns = _parts(width)
    sums = np.add.reduceat(picture, down, axis=0, dtype=np.uint32)
    sums = np.add.reduceat(sums, across, axis=1, dtype=np.uint64)
    return sums @ _LUMA / (rows[:, None] * columns[None, :])


def _parts(length: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where each of 32 parts begins, and how many pixels it has."""
    starts = np.arange(_SIDE) * length // _SIDE
    return starts, np.maximum(np.diff(starts, append=length), 1)


def _cosines() -> NDArray[np.float64]:
    """Return the rows 1 to 8 of the DCT-II of 32 numbers: (8, 32)."""
    frequencies = np.arange(1, _FREQUENCIES + 1)[:, None]
    places = 2 * np.arange(_SIDE)[None, :] + 1
    return np.cos(np.pi * frequencies * places / (2 * _SIDE))
