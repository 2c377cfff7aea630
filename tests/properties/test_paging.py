"""What holds for all cursors: ours come back, nothing else passes for one."""

import base64
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import example, given
from hypothesis import strategies as st

from dinoserve.domain.paging import Cursor
from dinoserve.errors import InvalidInputError

IDS = st.text("0123456789abcdef", min_size=32, max_size=32)
TIMES = st.datetimes(timezones=st.just(UTC))
OFFSETS = st.integers(-1439, 1439).map(lambda n: timezone(timedelta(minutes=n)))


@given(TIMES, IDS)
def test_a_cursor_comes_back_as_it_was_given_out(time: datetime, id_: str) -> None:
    cursor = Cursor(time, id_)
    assert Cursor.decode(cursor.encode()) == cursor


@given(TIMES, IDS)
def test_a_cursor_needs_no_escaping_in_a_url(time: datetime, id_: str) -> None:
    assert Cursor(time, id_).encode().replace("-", "").replace("_", "").isalnum()


@given(st.text(st.characters(exclude_categories=())))
@example("")
@example("=")
@example("é")
@example("\ud800")
@example("A")
def test_any_text_is_a_cursor_or_refused_as_input(text: str) -> None:
    with suppress(InvalidInputError):
        Cursor.decode(text)


@given(
    st.one_of(
        st.binary(),
        st.tuples(st.datetimes(timezones=OFFSETS | st.none()), st.text()).map(
            lambda pair: f"{pair[0].isoformat()}|{pair[1]}".encode()
        ),
    )
)
def test_any_bytes_in_a_cursors_clothes_are_safe_to_compare(raw: bytes) -> None:
    text = base64.urlsafe_b64encode(raw).decode()
    with suppress(InvalidInputError):
        cursor = Cursor.decode(text)
        # Stores do no more with it than this.
        _ = cursor.created_at - datetime(1970, 1, 1, tzinfo=UTC)
        _ = cursor.id.encode()
