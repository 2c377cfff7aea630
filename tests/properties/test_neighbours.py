"""The nearest of a set, whatever is in it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dinoserve.domain.neighbours import NOBODY, Neighbours, nearest_others, only
from records import a_vector


def a_set(count: int, kinds: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Vectors of which many are equal."""
    return np.stack([a_vector(at % kinds) for at in range(count)])


@given(
    count=st.integers(1, 300),
    kinds=st.integers(1, 300),
    k=st.integers(1, 310),
    min_score=st.sampled_from([-1.0, 0.0, 0.5, 1.0]),
)
def test_they_are_the_best_of_all_others_in_order(
    count: int, kinds: int, k: int, min_score: float
) -> None:
    vectors = a_set(count, kinds)
    rows = np.arange(0, count, 3, dtype=np.int32)

    found = nearest_others(vectors, rows, k, min_score)

    cosines = np.clip(vectors[rows] @ vectors.T, -1, 1)
    for row, cosine, places, scores in zip(rows, cosines, *found, strict=True):
        there = places != NOBODY
        near = places[there]
        least = scores[there].min(initial=np.inf)
        others = np.delete(np.arange(count), [row, *near])
        assert row not in near
        assert len(set(near.tolist())) == len(near)
        assert (np.diff(scores[there]) <= 0).all()
        assert np.allclose(scores[there], cosine[near], rtol=0, atol=1e-6)
        bound = least if there.all() else np.float32(min_score)
        assert (cosine[others] <= bound + 1e-6).all()
        assert there.all() or (np.flatnonzero(~there) >= len(near)).all()


@given(count=st.integers(2, 60), gone=st.sets(st.integers(0, 59)))
def test_a_smaller_set_has_the_same_order_without_those_that_are_gone(
    count: int, gone: set[int]
) -> None:
    found = nearest_others(
        a_set(count, count), np.arange(count, dtype=np.int32), count - 1
    )
    kept = [at for at in range(count) if at not in gone]
    places = np.full(count, NOBODY, np.int32)
    places[kept] = np.arange(len(kept))

    smaller = only(Neighbours(*found), places)

    for before, after in zip(found.indices, smaller.indices, strict=True):
        expected = [int(places[at]) for at in before if at not in gone]
        assert after.tolist() == expected + [NOBODY] * (count - 1 - len(expected))
