"""The line of pictures being measured: its bound, and what leaves it."""

import pytest

from dinoserve.errors import OverloadedError
from dinoserve.services.quality import Line


def test_pictures_beyond_the_bound_are_refused_at_once() -> None:
    line = Line(at_once=1, waiting=4)
    with (
        line.hold(3),
        pytest.raises(OverloadedError) as error,
        line.hold(2),
    ):
        pass
    assert error.value.retry_after_s >= 1


def test_a_single_caller_may_have_more() -> None:
    with Line(at_once=1, waiting=4).hold(9):
        pass


def test_what_failed_holds_no_room() -> None:
    line = Line(at_once=1, waiting=1)
    with pytest.raises(ValueError, match="broken"), line.hold(1):
        raise ValueError("broken")
    with line.hold(1):
        pass


def test_those_who_need_no_room_are_never_refused() -> None:
    line = Line(at_once=1, waiting=1)
    with line.hold(1), line.hold(0):
        pass
