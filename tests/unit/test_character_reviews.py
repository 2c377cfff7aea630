"""Reviews as labelled pairs, and groups that keep to them."""

from hypothesis import given
from hypothesis import strategies as st

from dinoserve.domain.character_reviews import (
    Edge,
    contradiction,
    kept_together,
    pairs_of,
)
from dinoserve.domain.labelled_pairs import LabelledPair


def test_parts_make_pairs_of_the_same_within_and_different_across() -> None:
    assert pairs_of([["b", "a"], ["c"]]) == [
        LabelledPair("a", "b", same=True),
        LabelledPair("b", "c", same=False),
        LabelledPair("a", "c", same=False),
    ]


def test_edges_join_what_nobody_decided() -> None:
    labels = kept_together(4, [Edge(1, 2, 0.5)], [])
    assert labels.tolist() == [0, 1, 1, 3]


def test_what_is_the_same_is_joined_without_an_edge() -> None:
    assert kept_together(3, [], [(0, 2, True)]).tolist() == [0, 1, 0]


def test_what_is_different_is_not_joined_on_a_way_round() -> None:
    edges = [Edge(0, 1, 0.9), Edge(1, 2, 0.8)]
    assert kept_together(3, edges, [(0, 2, False)]).tolist() == [0, 0, 2]


def test_the_most_alike_are_joined_first() -> None:
    edges = [Edge(0, 1, 0.8), Edge(1, 2, 0.9)]
    assert kept_together(3, edges, [(0, 2, False)]).tolist() == [0, 1, 1]


def test_groups_of_what_is_different_stay_apart() -> None:
    decided = [(0, 1, True), (2, 3, True), (0, 2, False)]
    labels = kept_together(4, [Edge(1, 3, 0.9)], decided)
    assert labels.tolist() == [0, 0, 2, 2]


_PLACES = st.integers(0, 9)


@given(
    st.lists(st.tuples(_PLACES, _PLACES, st.floats(-1, 1)), max_size=40),
    st.lists(_PLACES, min_size=10, max_size=10),
)
def test_decisions_that_agree_are_kept_whatever_the_edges(
    edges: list[tuple[int, int, float]], who: list[int]
) -> None:
    decided = [
        (left, right, who[left] == who[right])
        for left in range(10)
        for right in range(left)
    ]
    labels = kept_together(10, [Edge(*each) for each in edges], decided).tolist()
    for left, right, same in decided:
        assert (labels[left] == labels[right]) == same


def test_a_pair_that_others_make_the_same_contradicts_them() -> None:
    different = LabelledPair("a", "c", same=False)
    same = pairs_of([["a", "b"]]) + pairs_of([["b", "c"]])
    assert contradiction([*same, different], "c") == different
    assert contradiction([same[0], different], "ac") is None


def test_a_contradiction_among_others_is_not_looked_for() -> None:
    others = [*pairs_of([["a", "b"]]), LabelledPair("a", "b", same=False)]
    told = pairs_of([["x", "y"]])
    assert contradiction([*others, *told], "xy") is None


@given(st.lists(st.sampled_from("abc"), min_size=8, max_size=8))
def test_who_is_who_never_contradicts_itself(who: list[str]) -> None:
    parts = [[f"{at}" for at in range(8) if who[at] == name] for name in "abc"]
    assert contradiction(pairs_of(parts), [f"{at}" for at in range(8)]) is None
