"""Fingerprints and near pairs, whatever the pictures."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dinoserve.domain.fingerprints import (
    TURNS,
    Fingerprint,
    fingerprint,
    look_of,
    near_pairs,
    turned,
    turned_picture,
)


def a_picture(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """Smooth shades, so that shrinking keeps most of it."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (7, 7, 3))
    down = np.linspace(0, 6, height)
    across = np.linspace(0, 6, width)
    rows = np.stack([np.interp(down, range(7), c) for c in coarse.reshape(7, -1).T], 1)
    grid = rows.reshape(height, 7, 3)
    cells = [
        np.interp(across, range(7), line)
        for line in grid.transpose(0, 2, 1).reshape(-1, 7)
    ]
    return np.array(cells).reshape(height, 3, width).transpose(0, 2, 1).astype(np.uint8)


def all_pairs(hashes: list[int], distance: int) -> set[tuple[int, int, int]]:
    """What `near_pairs` finds, by comparing each with each."""
    turns = turned(np.array(hashes, np.uint64)).T.tolist()
    found: set[tuple[int, int, int]] = set()
    for left, one in enumerate(hashes):
        for right in range(left + 1, len(hashes)):
            least = min((one ^ other).bit_count() for other in turns[right])
            if least <= distance:
                found.add((left, right, least))
    return found


@given(
    seeds=st.lists(st.integers(0, 8), max_size=20),
    flips=st.lists(st.sets(st.integers(0, 63), max_size=8), min_size=20, max_size=20),
    distance=st.integers(0, 20),
)
def test_near_pairs_are_those_that_comparing_each_with_each_gives(
    seeds: list[int], flips: list[set[int]], distance: int
) -> None:
    bases = np.random.default_rng(0).integers(0, 2**63, 9).tolist()
    hashes: list[int] = [
        bases[seed] ^ sum(1 << bit for bit in bits)
        for seed, bits in zip(seeds, flips, strict=False)
    ]

    found = near_pairs(np.array(hashes, np.uint64), distance)

    rows = np.stack(found[:3], axis=1).tolist()
    assert {tuple(row) for row in rows} == all_pairs(hashes, distance)
    assert len(rows) == len({tuple(row[:2]) for row in rows})


def test_pairs_of_more_hashes_than_are_compared_at_a_time_are_all_found() -> None:
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**64, 900, dtype=np.uint64)
    flips = np.uint64(1) << rng.integers(0, 64, (3, 300)).astype(np.uint64)
    hashes[rng.permutation(900)[:300]] = hashes[:300] ^ np.bitwise_or.reduce(flips)

    found = near_pairs(hashes, 17)

    apart = np.bitwise_count(hashes[:, None] ^ turned(hashes)[:, None]).min(axis=0)
    left, right = np.nonzero(np.triu(apart <= 17, 1))
    rows = np.stack([left, right, apart[left, right]], axis=1)
    assert len(rows) > 300
    assert np.stack(found[:3], axis=1).tolist() == rows.tolist()


@given(seed=st.integers(0, 99), turn=st.integers(0, len(TURNS) - 1))
def test_the_hash_of_a_turned_picture_is_the_turned_hash(seed: int, turn: int) -> None:
    picture = a_picture(seed, 64, 96)
    look = look_of(picture)
    assert look is not None

    lying = turned(np.array([look], np.uint64))[turn, 0]

    other = look_of(turned_picture(picture, turn))
    assert other is not None
    # A frequency that is not there at all has the sign of its rounding.
    assert (int(lying) ^ other).bit_count() <= 1


@given(seed=st.integers(0, 99), height=st.integers(1, 70), width=st.integers(1, 70))
def test_a_fingerprint_comes_back_from_json(seed: int, height: int, width: int) -> None:
    made = fingerprint(a_picture(seed, height, width))

    assert Fingerprint.read(made.to_json()) == made


@given(left=st.integers(0, 2**64 - 1), right=st.integers(0, 2**64 - 1))
def test_the_distance_of_two_hashes_is_the_same_both_ways_round(
    left: int, right: int
) -> None:
    there = near_pairs(np.array([left, right], np.uint64), 64).distances.tolist()
    back = near_pairs(np.array([right, left], np.uint64), 64).distances.tolist()

    assert there == back
