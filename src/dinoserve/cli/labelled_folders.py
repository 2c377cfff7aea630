"""Folders of labelled pictures, in the layouts of docs/evaluation.md."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from dinoserve.cli.ingest import find_images
from dinoserve.domain.labelled_sets import Labelled, LabelledSet
from dinoserve.errors import InvalidInputError

_NUMBERED = re.compile(r"(.+)_\d+")


class Read(NamedTuple):
    """A folder that has a layout.

    Attributes:
        labelled: its pictures.
        unreadable: folders that cannot be listed, and why.
        skipped: files that are no pictures, or whose names tell no label.
    """

    labelled: LabelledSet
    unreadable: Sequence[tuple[str, str]]
    skipped: int


class _Part(NamedTuple):
    pictures: list[Labelled]
    unreadable: list[tuple[str, str]]
    skipped: int


def read_folder(folder: Path) -> Read:
    """Return the pictures of a folder with their labels; none is opened.

    Hidden files and folders are left out.

    Raises:
        InvalidInputError: the folder is not there, empty, or has no layout.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"{folder}: there is no such folder.", field="folder")
    name = folder.resolve().name
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        parts = _part(folder / "train"), _part(folder / "test"), _iconic(folder)
        gallery, queries, iconic = (part.pictures for part in parts)
        _check_any(folder / "train", gallery)
        _check_any(folder / "test", queries)
        return _read(LabelledSet(name, gallery, queries, iconic), parts)
    flat = _flat(folder)
    if not flat.pictures:
        raise InvalidInputError(_no_layout(folder), field="folder")
    return _read(LabelledSet(name, (), flat.pictures), [flat])


def _read(labelled: LabelledSet, parts: Iterable[_Part]) -> Read:
    parts = list(parts)
    unreadable = [one for part in parts for one in part.unreadable]
    return Read(labelled, unreadable, sum(part.skipped for part in parts))


def _part(folder: Path) -> _Part:
    """Return what lies in `<label>/` folders, at any depth below them."""
    found = find_images([folder], every=False)
    inside = [path for path in found.images if path.parent != folder]
    pictures = [
        Labelled(str(path), path.relative_to(folder).parts[0]) for path in inside
    ]
    skipped = found.skipped + len(found.images) - len(inside)
    return _Part(pictures, found.unreadable, skipped)


def _iconic(folder: Path) -> _Part:
    """Return `iconic/<label>.ext` and `iconic/<label>_<word>.ext`."""
    place = folder / "iconic"
    if not place.is_dir():
        return _Part([], [], 0)
    labels = {one.name for one in (folder / "train").iterdir()}
    found = find_images([place], every=False)
    told = [(path, _label_among(labels, path.stem)) for path in found.images]
    pictures = [Labelled(str(path), label) for path, label in told if label]
    skipped = found.skipped + len(told) - len(pictures)
    return _Part(pictures, found.unreadable, skipped)


def _label_among(labels: set[str], stem: str) -> str | None:
    before, _, _ = stem.rpartition("_")
    return next((label for label in (stem, before) if label in labels), None)


def _flat(folder: Path) -> _Part:
    """Return `<label>_<number>.ext`, in this folder only."""
    found = find_images([folder], every=False)
    told = [
        (path, _NUMBERED.fullmatch(path.stem))
        for path in found.images
        if path.parent == folder
    ]
    pictures = [Labelled(str(path), match[1]) for path, match in told if match]
    skipped = found.skipped + len(found.images) - len(pictures)
    return _Part(pictures, found.unreadable, skipped)


def _check_any(folder: Path, pictures: Sequence[Labelled]) -> None:
    if not pictures:
        raise InvalidInputError(
            f"{folder}: there are no pictures in folders named by their label.",
            field="folder",
        )


def _no_layout(folder: Path) -> str:
    inside = sorted(
        one.name
        for one in folder.iterdir()
        if one.is_dir() and (one / "train").is_dir()
    )
    hint = f" Name the folders in it: {', '.join(inside)}." if inside else ""
    return (
        f"{folder}: no labelled pictures. They lie in train/<label>/ and"
        f" test/<label>/, or are named <label>_<number>.jpg.{hint}"
    )
