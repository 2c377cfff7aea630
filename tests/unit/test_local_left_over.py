"""What killed writes left in a folder goes, once nobody can be writing it."""

import os
import time
from pathlib import Path

import pytest

from dinoserve.adapters.objects import LocalObjects

NAME = "a" * 64
HOUR_S = 3600


def left_over(folder: Path, age_s: float) -> Path:
    """Make what a process leaves that was killed while it wrote an object."""
    path = folder / "aa" / "aa" / f"{NAME}#1"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half of")
    then = time.time() - age_s
    os.utime(path, (then, then))
    return path


@pytest.mark.parametrize(("age_s", "is_there"), [(0, True), (HOUR_S + 60, False)])
async def test_what_a_killed_write_left_goes_an_hour_later(
    tmp_path: Path,
    age_s: float,
    is_there: bool,  # noqa: FBT001 - a row of the table
) -> None:
    objects = LocalObjects(tmp_path / "objects")
    path = left_over(tmp_path / "objects", age_s)
    assert [found async for found in objects.scan()] == []
    assert path.exists() is is_there


async def test_an_old_object_beside_it_stays(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "objects")
    left_over(tmp_path / "objects", 2 * HOUR_S)
    await objects.put("b" * 64, b"picture")
    place = tmp_path / "objects" / "bb" / "bb" / ("b" * 64)
    os.utime(place, (0, 0))
    assert [found.sha256 async for found in objects.scan()] == ["b" * 64]
    assert place.read_bytes() == b"picture"
