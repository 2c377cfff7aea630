"""What was made last is remembered, within its room."""

from dinoserve.domain.recent import Recent


def test_what_was_kept_comes_back() -> None:
    recent = Recent[str, int](room=10)
    recent.put("a", 1, weight=5)
    assert (recent.get("a"), recent.get("b")) == (1, None)


def test_the_one_used_longest_ago_gives_way() -> None:
    recent = Recent[str, int](room=10)
    recent.put("a", 1, weight=5)
    recent.put("b", 2, weight=5)
    recent.get("a")
    recent.put("c", 3, weight=5)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == (1, None, 3)


def test_what_is_replaced_no_longer_takes_room() -> None:
    recent = Recent[str, int](room=10)
    recent.put("a", 1, weight=5)
    recent.put("a", 2, weight=5)
    recent.put("b", 3, weight=5)
    assert (recent.get("a"), recent.get("b")) == (2, 3)


def test_what_is_too_large_is_not_kept() -> None:
    recent = Recent[str, int](room=10)
    recent.put("a", 1, weight=11)
    assert recent.get("a") is None
