"""Reading parameters of jobs: JSON that was checked when the job was accepted."""

from dataclasses import fields
from typing import Any, TypeVar, cast

from dinoserve.domain.assets import Metadata

_Named = TypeVar("_Named")


def named_fields(kind: type[_Named], parameters: Metadata) -> _Named:
    """Return a dataclass of those parameters that have the names of its fields."""
    names = [each.name for each in fields(cast("Any", kind)) if each.name in parameters]
    return kind(**{name: cast("Any", parameters[name]) for name in names})


def text(parameters: Metadata, name: str) -> str | None:
    """Return the text of this name. Absent or null: None."""
    value = parameters.get(name)
    return None if value is None else str(value)


def texts(parameters: Metadata, name: str) -> list[str] | None:
    """Return the list of texts of this name. Absent or null: None."""
    value = parameters.get(name)
    if not isinstance(value, list):
        return None
    return [str(one) for one in cast("list[object]", value)]
