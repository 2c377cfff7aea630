"""Typicality: distances to a reference, and the place among its members' own."""

import numpy as np
import pytest

from dinoserve.domain.quality_typicality import MAX_PEERS, Reference
from dinoserve.domain.vectors import Matrix, normalise


def cloud(count: int, spread: float, seed: int = 0) -> Matrix:
    """Unit vectors about one direction."""
    random = np.random.default_rng(seed)
    rows = np.eye(1, 16) + random.normal(0, spread, (count, 16))
    return np.stack([normalise(row) for row in rows])


def ids(count: int) -> list[str]:
    return [f"{number:032x}" for number in range(count)]


def test_distances_are_means_over_the_nearest() -> None:
    vectors, query = cloud(50, 0.3), cloud(1, 0.5, 9)[0]
    expected = np.sort(1 - vectors @ query)[:5].mean()
    found = Reference(ids(50), vectors, 5).typicality(query)
    assert found.distance == pytest.approx(expected, abs=1e-6)


def test_a_member_is_not_its_own_neighbour() -> None:
    vectors = cloud(50, 0.3)
    found = Reference(ids(50), vectors, 1).typicality(vectors[7], ids(50)[7])
    others = np.delete(vectors, 7, axis=0)
    assert found.distance == pytest.approx((1 - others @ vectors[7]).min(), abs=1e-6)


def test_the_percentile_counts_members_that_are_nearer_to_theirs() -> None:
    vectors = cloud(200, 0.3)
    reference = Reference(ids(200), vectors, 10)
    found = [
        reference.typicality(vector, key)
        for vector, key in zip(vectors, ids(200), strict=True)
    ]
    order = np.argsort([each.distance for each in found])
    percentiles = np.array([each.percentile for each in found])[order]
    np.testing.assert_allclose(percentiles, np.arange(200) / 2, atol=0.51)


def test_what_is_far_off_is_beyond_every_member() -> None:
    found = Reference(ids(99), cloud(99, 0.1), 10).typicality(-cloud(1, 0)[0])
    assert found.percentile == 100
    assert found.distance == pytest.approx(2, abs=0.2)


def test_fewer_members_than_neighbours_count_as_they_are() -> None:
    assert Reference(ids(3), cloud(3, 0.3), 100).k == 2


def test_of_many_members_some_are_ranked_among() -> None:
    count = MAX_PEERS + 500
    found = Reference(ids(count), cloud(count, 0.3), 10).typicality(cloud(1, 0.3, 4)[0])
    assert 0 <= found.percentile <= 100
