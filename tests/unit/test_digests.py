"""Many digests in little memory: what is there, and how large it is."""

import tracemalloc

import pytest

from dinoserve.domain.digests import DigestTable
from records import digest


def table(*digests: str) -> DigestTable:
    made = DigestTable()
    made.add(digests, range(len(digests)))
    return made


def test_sizes_come_in_the_order_of_the_question() -> None:
    names = [digest(seed) for seed in range(1000)]
    made = DigestTable()
    made.add(names[:300], range(300))
    made.add(names[300:], range(300, 1000))
    assert len(made) == 1000
    assert made.sizes(names[::-1]) == list(range(999, -1, -1))


def test_what_is_added_after_a_question_is_known_too() -> None:
    made = table(digest(1))
    assert made.sizes([digest(2)]) == [None]
    made.add([digest(2)], [7])
    assert made.sizes([digest(2), digest(1)]) == [7, 0]


@pytest.mark.parametrize("absent", ["0" * 64, "f" * 64, digest("absent")])
def test_an_absent_object_has_no_size(absent: str) -> None:
    assert table(digest(1), digest(2)).sizes([absent]) == [None]


def test_an_empty_table_knows_nothing() -> None:
    assert table().sizes([digest(1)]) == [None]
    assert table().begins([digest(1)[:32]]) == [False]
    assert table().sizes([]) == []


@pytest.mark.parametrize("digits", [2, 16, 32, 64])
def test_a_digest_is_known_by_how_it_begins(digits: int) -> None:
    names = [digest(seed) for seed in range(100)]
    assert table(*names).begins([name[:digits] for name in names]) == [True] * 100


@pytest.mark.parametrize("prefix", ["0" * 32, "f" * 32, digest("absent")[:32]])
def test_no_digest_begins_like_an_absent_one(prefix: str) -> None:
    names = [digest(seed) for seed in range(100)]
    assert table(*names).begins([prefix]) == [False]


@pytest.mark.parametrize("name", ["0" * 64, "ab" * 16 + "0" * 32, "0" * 62 + "01"])
def test_zeros_at_an_end_are_digits_as_any_other(name: str) -> None:
    made = table(name, digest(1))
    assert made.sizes([name]) == [0]
    assert made.begins([name[:32], name]) == [True, True]


def test_a_hundred_thousand_take_forty_bytes_each() -> None:
    names = [digest(seed) for seed in range(100_000)]
    tracemalloc.start()
    made = table(*names)
    made.sizes(names[:1])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 42 * len(names)
