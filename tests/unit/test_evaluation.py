"""What is taken of a labelled set, and what is measured on it."""

from collections.abc import Callable

import numpy as np
import pytest

from dinoserve.domain.evaluation import Looks, Row, measure
from dinoserve.domain.labelled_sets import Amounts, Labelled, LabelledSet, Plan, plan
from dinoserve.domain.vectors import Vector
from dinoserve.errors import InvalidInputError

HOW = ("flip", "jpeg")
LABELS = 12
USUAL = Amounts()


def part(name: str, each: int) -> list[Labelled]:
    return [
        Labelled(f"{name}/{label:02d}/{at}", f"{label:02d}")
        for label in range(LABELS)
        for at in range(each)
    ]


SPLIT = LabelledSet("shop", part("train", 6), part("test", 4), part("iconic", 1))
FLAT = LabelledSet("cast", (), part("cast", 6))


def looked_at(planned: Plan, see: Callable[[str], Vector]) -> Looks:
    return {sight: {"model": see(sight.path)} for sight in planned.sights()}


def by_label(path: str) -> Vector:
    """A little of the picture, and much of its label: names end in /label/number."""
    _, label, _ = path.split("/")
    own = np.random.default_rng(abs(hash_of(path))).normal(0, 0.05, LABELS)
    vector = np.eye(LABELS)[int(label)] + own
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def by_chance(path: str) -> Vector:
    vector = np.random.default_rng(hash_of(path)).normal(size=32)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def hash_of(path: str) -> int:
    return int.from_bytes(path.encode(), "big") % 2**63


def value(rows: list[Row], name: str, asked: str = "") -> float:
    [row] = [row for row in rows if row.measure == name and asked in row.asked]
    return row.values["model"].value


def rows_of(
    given: LabelledSet, see: Callable[[str], Vector], amounts: Amounts = USUAL
) -> list[Row]:
    planned = plan(given, amounts, HOW)
    return measure(planned, looked_at(planned, see))


def test_the_same_pictures_are_taken_each_time() -> None:
    amounts = Amounts(gallery=30, queries=20, edited=5, among=40)
    assert plan(SPLIT, amounts, HOW) == plan(SPLIT, amounts, HOW)


def test_no_more_pictures_are_taken_than_asked_for() -> None:
    planned = plan(SPLIT, Amounts(gallery=30, queries=20, edited=5, among=40), HOW)
    assert len(planned.taken.gallery) == 30
    assert len(planned.taken.queries) == 20
    assert len(planned.taken.iconic) == 12
    assert (len(planned.edited), len(planned.among)) == (5, 40)
    assert set(planned.edited) <= set(planned.among)


def test_a_small_set_is_taken_whole() -> None:
    planned = plan(SPLIT, Amounts(), HOW)
    assert sorted(planned.taken.gallery) == sorted(SPLIT.gallery)
    assert len(planned.among) == len(SPLIT.gallery) + len(SPLIT.queries)


def test_every_picture_is_looked_at_once() -> None:
    planned = plan(SPLIT, Amounts(edited=5), HOW)
    sights = planned.sights()
    assert len(set(sights)) == len(sights) == 12 * (6 + 4 + 1) + 5 * len(HOW)


def test_the_order_of_what_is_taken_says_nothing_of_the_labels() -> None:
    taken = plan(SPLIT, Amounts(), HOW).taken
    for given in (taken.gallery, taken.queries):
        assert [one.label for one in given] != sorted(one.label for one in given)


def test_distorted_pictures_are_not_the_first_of_those_they_are_looked_up_in() -> None:
    planned = plan(SPLIT, Amounts(edited=10), HOW)
    assert set(planned.edited) != set(planned.among[:10])


def test_vectors_that_tell_labels_reach_the_top_of_every_measure() -> None:
    rows = rows_of(SPLIT, by_label)
    assert value(rows, "kNN accuracy, k=10") == 1
    assert value(rows, "R@1", "others") == value(rows, "R@5") == 1
    assert value(rows, "mAP", "others") == 1
    assert value(rows, "R@1", "iconic") == value(rows, "mAP", "iconic") == 1
    assert value(rows, "R@1 flip") == value(rows, "R@1 jpeg") == 1


def test_vectors_of_chance_are_measured_as_chance() -> None:
    rows = rows_of(FLAT, by_chance)
    assert value(rows, "kNN accuracy, k=10") < 0.3
    assert value(rows, "mAP") < 0.3
    assert value(rows, "ROC-AUC") == pytest.approx(0.5, abs=0.1)
    assert value(rows, "EER") == pytest.approx(0.5, abs=0.1)


def test_vectors_that_are_all_alike_do_not_profit_from_their_order() -> None:
    alike = np.full(4, 0.5, np.float32)
    rows = rows_of(SPLIT, lambda _: alike, Amounts(edited=40))
    assert value(rows, "R@1 flip") < 0.1
    assert value(rows, "R@1", "others") < 0.3
    assert value(rows, "mAP", "others") == pytest.approx(3 / 47)


def test_pairs_are_verified_in_flat_sets_only_with_intervals() -> None:
    rows = rows_of(FLAT, by_label)
    [row] = [row for row in rows if row.measure == "ROC-AUC"]
    assert row.asked == "pairs: 180 same, 2376 different"
    assert row.values["model"].value > 0.99
    assert row.values["model"].low is not None
    assert not [row for row in rows_of(SPLIT, by_label) if row.measure == "ROC-AUC"]


def test_a_query_is_never_looked_up_in_itself() -> None:
    rows = rows_of(FLAT, by_chance)
    assert value(rows, "R@1", "others") < 0.5


def test_what_could_not_be_read_is_left_out_and_counted() -> None:
    planned = plan(SPLIT, Amounts(edited=100, among=200), HOW)
    looks = {
        sight: {"model": by_label(sight.path)}
        for sight in planned.sights()
        if not sight.path.endswith("/0") or sight.path.startswith("iconic")
    }
    asked = [row.asked for row in measure(planned, looks)]
    assert asked[0] == "test in train: 36 in 60"
    assert "iconic in train: 12 in 60" in asked
    assert all("in 96" in text for text in asked if text.startswith("distorted"))


def test_iconic_pictures_of_labels_that_nobody_has_are_left_out() -> None:
    train = [one for one in SPLIT.gallery if one.label != "03"]
    given = LabelledSet("shop", train, SPLIT.queries, SPLIT.iconic)
    rows = rows_of(given, by_label)
    [row] = [row for row in rows if row.measure == "R@1" and "iconic" in row.asked]
    assert row.asked == "iconic in train: 11 in 66"


def test_one_label_is_refused() -> None:
    one = [Labelled(str(at), "only") for at in range(9)]
    with pytest.raises(InvalidInputError, match="have 1 labels; it takes two"):
        plan(LabelledSet("cast", (), one), Amounts(), HOW)


def test_labels_of_one_picture_each_are_refused() -> None:
    many = [Labelled(str(at), str(at)) for at in range(9)]
    with pytest.raises(InvalidInputError, match="nothing to find"):
        plan(LabelledSet("cast", (), many), Amounts(), HOW)


@pytest.mark.parametrize("lost", ["train", "test"])
def test_a_part_of_which_nothing_could_be_read_is_refused(lost: str) -> None:
    planned = plan(SPLIT, Amounts(), HOW)
    looks = {
        sight: {"model": by_label(sight.path)}
        for sight in planned.sights()
        if not sight.path.startswith(lost)
    }
    with pytest.raises(InvalidInputError, match="shop"):
        measure(planned, looks)
