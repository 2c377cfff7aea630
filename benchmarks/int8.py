"""Whether int8 is there, and how near it comes: on photographs, to float32.

`python -m benchmarks.int8 MODEL CACHE` prints an `Int8` as JSON. It runs before
anything is measured, and what it converts is kept for those who measure.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
from benchmarks.processes import ROOT, MeasuringError, environment
from pydantic import BaseModel

_PHOTOS = ROOT / "tests" / "pictures"


class Int8(BaseModel):
    """What is known of int8 on this machine.

    Attributes:
        missing: why there is none; empty if there is.
        photos: how many the cosines are of.
        engine_cosine: the lowest between vectors of dinoserve's own choice of engine
            and float32 PyTorch.
        int8_cosine: the lowest between vectors of int8 and float32 PyTorch.
    """

    missing: str
    photos: int = 0
    engine_cosine: float | None = None
    int8_cosine: float | None = None

    def __str__(self) -> str:
        if self.missing:
            return f"int8: not available ({self.missing})"
        return (
            f"lowest cosine to PyTorch fp32 on {self.photos} photographs:"
            f" engine {self.engine_cosine:.5f}, int8 {self.int8_cosine:.5f}"
        )


def look_for_int8(model: Path, cache: Path, log: Path) -> Int8:
    """Return what is known of int8, found out in a process of its own.

    Args:
        model: folder.
        cache: folder that keeps the converted models.
        log: file that the process writes its complaints to.

    Raises:
        MeasuringError: the process failed.
    """
    command = [sys.executable, "-m", "benchmarks.int8", str(model), str(cache)]
    with log.open("w") as errors:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            check=False,
        )
    if done.returncode:
        raise MeasuringError(f"benchmarks.int8 failed:\n{log.read_text()[-2000:]}")
    found = Int8.model_validate_json(done.stdout.splitlines()[-1])
    return found if not found.missing else Int8(missing=_why(found.missing, log))


def _why(missing: str, log: Path) -> str:
    """Add what the engine said of it, where it said something."""
    told = [line for line in log.read_text().splitlines() if "does not serve" in line]
    return "; ".join([missing, *told[:1]])


def _look(model: Path, cache: Path) -> Int8:
    # Here, so that who only asks does not hold PyTorch.
    from benchmarks.bare import load, prepared  # noqa: PLC0415

    from dinoserve.errors import StartUpError  # noqa: PLC0415

    files = [file.read_bytes() for file in sorted(_PHOTOS.glob("*.jpg"))]
    try:
        int8 = load(model, "int8", cache)
    except StartUpError as error:
        return Int8(missing=error.detail)
    if int8.card.precision != "int8":
        return Int8(missing=f"fell back to {int8.card.engine} {int8.card.precision}")
    forwards = (load(model, "fp32", cache), load(model, "auto", cache), int8)
    reference, engine, quantised = (
        forward.vectors(prepared(forward, files)).copy() for forward in forwards
    )
    return Int8(
        missing="",
        photos=len(files),
        engine_cosine=float(np.min(np.sum(engine * reference, axis=1))),
        int8_cosine=float(np.min(np.sum(quantised * reference, axis=1))),
    )


if __name__ == "__main__":
    print(_look(Path(sys.argv[1]), Path(sys.argv[2])).model_dump_json())
