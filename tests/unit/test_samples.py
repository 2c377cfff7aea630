"""The pictures that come with dinoserve."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoserve.cli.samples import Sample, sample_pictures
from dinoserve.domain.assets import check_metadata

LEAST = 60
MOST_BYTES = 4 * 1024 * 1024

SAMPLES = {sample.path.name: sample for sample in sample_pictures()}


def pixels(name: str) -> np.ndarray:
    return np.asarray(Image.open(SAMPLES[name].path).convert("RGB"), np.int16)


def test_there_are_enough_and_they_are_small() -> None:
    sizes = [sample.path.stat().st_size for sample in SAMPLES.values()]

    assert len(sizes) >= LEAST
    assert sum(sizes) <= MOST_BYTES


def test_every_picture_of_the_folder_is_named_once() -> None:
    folder = next(iter(SAMPLES.values())).path.parent
    pictures = {
        path.name for path in folder.iterdir() if path.suffix in {".jpg", ".png"}
    }

    assert pictures == SAMPLES.keys()
    assert len(sample_pictures()) == len(SAMPLES)


def test_every_picture_has_author_licence_and_link() -> None:
    folder = next(iter(SAMPLES.values())).path.parent
    rows = (folder / "SOURCES.md").read_text().splitlines()[4:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]

    assert [row[0] for row in cells] == sorted(SAMPLES)
    for _, title, author, licence, link in cells:
        assert title
        assert author
        assert licence in {"CC0", "public domain"}
        assert link.startswith("<https://")


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_it_can_be_read_and_what_is_said_of_it_can_be_stored(sample: Sample) -> None:
    Image.open(sample.path).verify()
    check_metadata(sample.metadata)

    assert sample.tags


def test_no_two_files_have_the_same_bytes() -> None:
    def digest(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    assert len({digest(one.path) for one in SAMPLES.values()}) == len(SAMPLES)


def test_one_copy_has_the_same_pixels() -> None:
    changed = SAMPLES["coffee-copy.png"].metadata

    assert changed["how"] == "same pixels"
    assert (pixels("coffee-copy.png") == pixels(str(changed["of"]))).all()


def test_every_character_has_sheets_and_shots() -> None:
    for name in ("bean", "dee", "ethan"):
        own = [one for one in SAMPLES.values() if one.subject == name]

        assert sum("sheet" in one.tags for one in own) == 4
        assert sum("shot" in one.tags for one in own) == 2
