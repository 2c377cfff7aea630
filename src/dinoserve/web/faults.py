"""What validation found wrong, in words and numbers of ours."""

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, Field

_SHOWN: Final = 300
# Larger ones, and infinity, are no JSON that everybody reads.
_GREATEST: Final = 1e300
# What pydantic calls a limit, and what is held against it.
_LIMITS: Final = ("limit", "le", "lt", "ge", "gt", "max_length", "min_length")
_VALUES: Final = ("value", "actual_length")


class Fault(BaseModel):
    """One thing that is wrong with a request."""

    field: str = Field(description="Where, e.g. `limit` or `query.vector[3]`.")
    detail: str
    limit: float | int | None = Field(
        default=None,
        description="What the value, or its length, may be at the most"
        " or least; left out where there is no such number.",
    )
    value: float | int | None = Field(
        default=None, description="What it is; left out as well."
    )


def fault_of(found: Mapping[str, Any]) -> Fault:
    """Return one of pydantic's faults as it is told."""
    told: Mapping[str, Any] = found.get("ctx") or {}
    limit = _first(told, _LIMITS)
    value = _first(told, _VALUES)
    if limit is not None and value is None:
        value = _first(found, ("input",))
    return Fault(
        field=_field(found), detail=str(found["msg"])[:_SHOWN], limit=limit, value=value
    )


def _first(told: Mapping[str, Any], names: tuple[str, ...]) -> float | int | None:
    numbers = (told[name] for name in names if name in told)
    return next((number for number in numbers if _is_number(number)), None)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < _GREATEST


def _field(fault: Mapping[str, Any]) -> str:
    """Return the place as `query.vector[3]`, without pydantic's own words."""
    if fault["type"] == "json_invalid":
        return "body"
    place = ""
    for part in fault["loc"][1:]:
        if isinstance(part, int):
            place += f"[{part}]"
        elif not re.fullmatch(r"[a-z][a-z0-9_]*", part) or part == "str":
            break
        else:
            place += f".{part}"
    return place.lstrip(".") or "body"
