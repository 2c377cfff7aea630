"""Times as integers, for stores whose own times are coarser or are text."""

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_microseconds(time: datetime) -> int:
    """Return microseconds since 1970 UTC of a time that has a zone."""
    return (time - _EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """Return the time in UTC that `to_microseconds` was given."""
    return _EPOCH + microseconds * _MICROSECOND
