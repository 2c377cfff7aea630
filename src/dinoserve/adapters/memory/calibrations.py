"""Calibrations of checks in a dictionary."""

import json
from datetime import datetime

from dinoserve.domain.kept_calibrations import KeptCalibration, kept_from_json
from dinoserve.domain.paging import Cursor
from dinoserve.ports import CalibrationPage, CalibrationQuery


class MemoryCalibrations:
    """`ports.CalibrationStore` in a dictionary."""

    def __init__(self) -> None:
        self._kept: dict[str, KeptCalibration] = {}

    async def put(self, kept: KeptCalibration) -> None:
        """Store, in place of the one of the same id."""
        # As JSON would carry it; nothing that changes is shared.
        values = json.loads(json.dumps(kept.calibration.as_json()))
        copy = kept_from_json(kept.collection, kept.created_at, values)
        self._kept[kept.id] = copy

    async def get(self, calibration_id: str) -> KeptCalibration | None:
        """Return the calibration. Absent: None."""
        return self._kept.get(calibration_id)

    async def find(self, query: CalibrationQuery) -> CalibrationPage:
        """Return a page, newest first, then by descending id."""
        meant = [each for each in self._kept.values() if _is_meant(each, query)]
        found = sorted(meant, key=_place, reverse=True)
        page = found[: query.limit]
        is_last = len(found) <= query.limit
        return CalibrationPage(page, None if is_last else Cursor(*_place(page[-1])))

    async def remove(self, calibration_id: str) -> bool:
        """Erase the calibration; tell whether it was there."""
        return self._kept.pop(calibration_id, None) is not None


def _is_meant(kept: KeptCalibration, query: CalibrationQuery) -> bool:
    made_for = kept.calibration.made_for
    after = query.after
    return (
        query.collection in {None, kept.collection}
        and query.recipe in {None, made_for.recipe}
        and query.score in {None, made_for.score}
        and (after is None or _place(kept) < (after.created_at, after.id))
    )


def _place(kept: KeptCalibration) -> tuple[datetime, str]:
    return kept.created_at, kept.id
