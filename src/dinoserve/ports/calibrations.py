"""Where calibrations of checks are kept."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from dinoserve.domain.kept_calibrations import KeptCalibration
from dinoserve.domain.paging import Cursor


@dataclass(frozen=True, slots=True)
class CalibrationQuery:
    """Which calibrations a page shows: newest first, then by descending id.

    Attributes:
        collection: only of this one; None: of all.
        recipe: only for this one; None: for all.
        score: only of this one; None: of all.
        after: continue behind this one.
        limit: at least 1.
    """

    collection: str | None = None
    recipe: str | None = None
    score: str | None = None
    after: Cursor | None = None
    limit: int = 50


class CalibrationPage(NamedTuple):
    """Some calibrations, and where the next page begins (None: this was the last)."""

    calibrations: list[KeptCalibration]
    next: Cursor | None


class CalibrationStore(Protocol):
    """Calibrations by their id. They name no asset, and stay when one is erased."""

    async def put(self, kept: KeptCalibration) -> None:
        """Store, in place of the one of the same id."""
        ...

    async def get(self, calibration_id: str) -> KeptCalibration | None:
        """Return the calibration. Absent: None."""
        ...

    async def find(self, query: CalibrationQuery) -> CalibrationPage:
        """Return a page of calibrations."""
        ...

    async def remove(self, calibration_id: str) -> bool:
        """Erase the calibration; tell whether it was there."""
        ...
