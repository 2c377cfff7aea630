"""Groups, whatever is grouped: everything is in one, in whatever order it came."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dinoserve.domain.groups import (
    LONER,
    components,
    coordinates,
    grouped,
    loners,
    mutual,
)
from dinoserve.domain.neighbours import nearest_others
from dinoserve.domain.vectors import Matrix
from records import a_vector

EDGES = st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=60)


def a_set(kinds: list[int]) -> Matrix:
    return np.stack([a_vector(kind) for kind in kinds])


def walked(count: int, edges: list[tuple[int, int]]) -> list[int]:
    """The least node that each can reach, by walking."""
    least = list(range(count))
    for _ in range(count):
        for left, right in edges:
            least[left] = least[right] = min(least[left], least[right])
    return least


@given(edges=EDGES)
def test_a_component_is_what_can_be_reached(edges: list[tuple[int, int]]) -> None:
    left = np.array([edge[0] for edge in edges], np.int32)
    right = np.array([edge[1] for edge in edges], np.int32)

    assert components(30, left, right).tolist() == walked(30, edges)


@given(
    labels=st.lists(st.integers(-1, 5), min_size=1, max_size=40),
    least=st.integers(1, 4),
)
def test_groups_and_loners_together_are_the_set(labels: list[int], least: int) -> None:
    vectors = a_set([*range(len(labels))])

    groups = grouped(vectors, np.array(labels, np.int32), least)

    alone = loners(len(labels), groups).tolist()
    members = [at for group in groups for at in group.members.tolist()]
    assert sorted(members + alone) == [*range(len(labels))]
    for group in groups:
        found: set[int] = {labels[int(at)] for at in group.members}
        assert len(found) == 1
        assert LONER not in found
        assert len(group.members) >= least
        assert set(group.outliers.tolist()) <= set(group.members.tolist())


@given(kinds=st.lists(st.integers(0, 9), min_size=2, max_size=25))
def test_the_first_of_a_group_is_its_medoid(kinds: list[int]) -> None:
    vectors = a_set(kinds)

    [group] = grouped(vectors, np.zeros(len(kinds), np.int32))

    cosines = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    np.fill_diagonal(cosines, 0)
    means = cosines.sum(axis=1) / (len(kinds) - 1)
    assert np.allclose(group.scores, means[group.members], rtol=0, atol=1e-6)
    assert means[group.members[0]] >= means.max() - 1e-6


@given(
    kinds=st.lists(st.integers(0, 200), min_size=2, max_size=40, unique=True),
    seed=st.integers(0, 99),
    k=st.integers(1, 6),
    min_score=st.sampled_from([-1.0, 0.0, 0.4]),
)
def test_links_do_not_depend_on_the_order(
    kinds: list[int], seed: int, k: int, min_score: float
) -> None:
    order = np.random.default_rng(seed).permutation(len(kinds))
    shuffled: list[int] = [kinds[int(at)] for at in order]

    assert links(kinds, k, min_score) == links(shuffled, k, min_score)


def links(kinds: list[int], k: int, min_score: float) -> set[frozenset[int]]:
    everyone = np.arange(len(kinds), dtype=np.int32)
    left, right = mutual(nearest_others(a_set(kinds), everyone, k, min_score))
    pairs = zip(left.tolist(), right.tolist(), strict=True)
    return {frozenset([kinds[int(a)], kinds[int(b)]]) for a, b in pairs}


@given(kinds=st.lists(st.integers(0, 20), max_size=20), axes=st.integers(1, 10))
def test_coordinates_are_finite_and_spread_most_along_the_first_axis(
    kinds: list[int], axes: int
) -> None:
    vectors = a_set(kinds) if kinds else np.empty((0, 8), np.float32)

    found = coordinates(vectors, axes)

    assert found.shape == (len(kinds), axes)
    assert np.isfinite(found).all()
    if kinds:
        assert (np.diff(found.var(axis=0)) <= 1e-9).all()
        assert np.allclose(found.mean(axis=0), 0, atol=1e-6)
