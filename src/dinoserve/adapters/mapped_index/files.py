"""A space's files: ids, float32 rows, float16 codes, and what they should be.

They are a cache. What does not hold what its manifest says is taken away, and made
anew from what the document store gives.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4

from dinoserve.adapters.mapped_index.codes import Codes
from dinoserve.domain.vectors import Matrix, to_bytes
from dinoserve.ports import Space

_MANIFEST: Final = "manifest.json"
_FORMAT: Final = 1
_LINE: Final = 10_000
_CHECKED: Final = ("ids", "codes")


@dataclass(frozen=True, slots=True)
class Written:
    """What was written of a space.

    Attributes:
        name: what the files of this writing begin with.
        width: numbers in a vector.
        count: vectors.
        digests: SHA-256 by file. The rows have none: whoever starts compares them
            with the document store's.
    """

    collection: str
    recipe: str
    name: str
    width: int
    count: int
    digests: dict[str, str]
    format: int = _FORMAT

    @property
    def space(self) -> Space:
        """Whose it is."""
        return Space(self.collection, self.recipe)


def folder_of(root: Path, space: Space) -> Path:
    """Return where a space's files lie; neither name holds what a path may not."""
    return root / f"{space.collection}@{space.recipe}"


def write(
    folder: Path, space: Space, ids: list[str], rows: Iterable[Matrix], codes: Codes
) -> Written:
    """Write everything, then the manifest in one step; older files are taken away.

    Raises:
        OSError: the disk is full or broken; what was there before still holds.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = uuid4().hex
    width = 0
    with _created(folder / f"{name}.rows") as file:
        for some in rows:
            width = some.shape[1]
            file.write(to_bytes(some.ravel()))
    with _created(folder / f"{name}.ids") as file:
        # A line at a time: encoding holds the GIL.
        for start in range(0, len(ids), _LINE):
            file.write(json.dumps(ids[start : start + _LINE]).encode() + b"\n")
    codes.write(folder / f"{name}.codes")
    digests = {end: _digest(folder / f"{name}.{end}") for end in _CHECKED}
    written = Written(*space, name, width, len(ids), digests)
    _replace(folder / _MANIFEST, json.dumps(asdict(written)).encode())
    _clear(folder, name)
    return written


def read(folder: Path) -> tuple[Written, list[str], Codes]:
    """Return what was written, checked.

    Raises:
        OSError, ValueError, TypeError, KeyError, RuntimeError: something is missing or
            not as it was written.
    """
    written = Written(**json.loads((folder / _MANIFEST).read_bytes()))
    base = folder / written.name
    if written.format != _FORMAT or folder_of(folder.parent, written.space) != folder:
        raise ValueError("the manifest is of another space or version")
    for end, digest in written.digests.items():
        if _digest(base.with_suffix(f".{end}")) != digest:
            raise ValueError(f"the file of {end} is not as it was written")
    if base.with_suffix(".rows").stat().st_size != written.count * written.width * 4:
        raise ValueError("the file of rows is not as long as it was")
    ids = _ids_of(base.with_suffix(".ids"))
    codes = Codes.mapped(base.with_suffix(".codes"))
    if not len(ids) == len(codes) == written.count:
        raise ValueError("the files do not have the same rows")
    # What a build left that was cut off.
    _clear(folder, written.name)
    return written, ids, codes


def remove(folder: Path) -> None:
    """Take a space's files away, whatever they are."""
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _created(path: Path) -> Generator[BinaryIO]:
    """Give a new file that is on the disk when the block ends."""
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _ids_of(path: Path) -> list[str]:
    with path.open("rb") as lines:
        return [asset_id for line in lines for asset_id in json.loads(line)]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _replace(path: Path, data: bytes) -> None:
    new = path.with_suffix(".new")
    with suppress(FileNotFoundError):
        new.unlink()
    with _created(new) as file:
        file.write(data)
    new.replace(path)


def _clear(folder: Path, name: str) -> None:
    for path in folder.iterdir():
        if path.name != _MANIFEST and not path.name.startswith(name):
            path.unlink(missing_ok=True)
