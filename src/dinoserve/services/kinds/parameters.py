"""Reading parameters of jobs: JSON that was checked when the job was accepted."""

from typing import cast

from dinoserve.domain.assets import Metadata


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
