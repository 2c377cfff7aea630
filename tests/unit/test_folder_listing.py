"""Pictures in folders of this machine: which are found, and which are never read."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from dinoserve.adapters import folder_listing
from dinoserve.adapters.folder_listing import FolderListing
from dinoserve.errors import ImageTooLargeError, InvalidInputError, NotFoundError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    return folder


def fill(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def listing(root: Path, max_bytes: int = 1000) -> FolderListing:
    return FolderListing([root], max_bytes)


async def found(root: Path, place: Path, after: str | None = None) -> list[str]:
    """Return what is found below a place, as paths from the root on."""
    batches = [batch async for batch in listing(root).names(str(place), after)]
    return [name.removeprefix(f"{root}/") for batch in batches for name in batch]


async def test_pictures_are_found_in_folders_of_folders(root: Path) -> None:
    fill(root, "a.jpg", "b/c.PNG", "b/d/e.webp", "z.tiff")

    assert await found(root, root) == ["a.jpg", "b/c.PNG", "b/d/e.webp", "z.tiff"]


async def test_what_is_hidden_or_no_picture_is_passed_over(root: Path) -> None:
    fill(root, "a.jpg", ".b.jpg", ".thumbs/c.jpg", "notes.txt", "jpg", "d.jpg.part")

    assert await found(root, root) == ["a.jpg"]


async def test_a_folder_below_is_a_place_too(root: Path) -> None:
    fill(root, "a.jpg", "b/c.jpg", "bb/d.jpg")

    assert await found(root, root / "b") == ["b/c.jpg"]


@pytest.mark.parametrize("held", [1, 2, 3, 50_000])
async def test_it_goes_on_behind_any_name_however_few_it_holds(
    root: Path, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_listing, "_HELD", held)
    monkeypatch.setattr(folder_listing, "_BATCH", 2)
    fill(root, "a.jpg", "b/a.jpg", "b/b/a.jpg", "b/c.jpg", "b.jpg", "b-.jpg", "c/a.jpg")
    every = await found(root, root)

    rests = [await found(root, root, str(root / name)) for name in every]

    assert len(every) == 7
    assert rests == [every[at + 1 :] for at in range(7)]


async def test_a_large_folder_is_listed_in_bounded_batches(root: Path) -> None:
    fill(root, *(f"{at:04}.jpg" for at in range(2500)))

    batches = [batch async for batch in listing(root).names(str(root), None)]

    assert [len(batch) for batch in batches] == [1000, 1000, 500]


async def test_a_link_to_a_file_inside_is_read(root: Path) -> None:
    fill(root, "a/b.jpg")
    (root / "link.jpg").symlink_to(root / "a/b.jpg")

    assert await found(root, root) == ["a/b.jpg", "link.jpg"]
    assert await listing(root).read(str(root / "link.jpg")) == b"a/b.jpg"


async def test_a_link_to_a_file_outside_is_not_read(root: Path) -> None:
    fill(root.parent, "secret.jpg")
    (root / "link.jpg").symlink_to(root.parent / "secret.jpg")

    with pytest.raises(InvalidInputError, match="DINOSERVE_INGEST_FOLDERS") as caught:
        await listing(root).read(str(root / "link.jpg"))

    assert "secret" not in json.dumps(caught.value.extra)


async def test_a_folder_behind_a_link_is_not_entered(root: Path) -> None:
    fill(root, "a/b.jpg")
    (root / "a/again").symlink_to(root)

    assert await found(root, root) == ["a/b.jpg"]


async def test_a_place_that_a_link_leads_out_of_is_refused(root: Path) -> None:
    fill(root.parent, "outside/a.jpg")
    (root / "out").symlink_to(root.parent / "outside")

    with pytest.raises(InvalidInputError):
        await found(root, root / "out")


async def test_a_folder_that_became_a_link_is_not_gone_through(root: Path) -> None:
    """What is checked and what is opened are the same, whatever happens between."""
    fill(root, "a/b.jpg")
    fill(root.parent, "outside/b.jpg")
    swapped = False

    class Swapping(FolderListing):
        def _real_root_of(self, real: str, path: str) -> str:
            nonlocal swapped
            checked = super()._real_root_of(real, path)
            if not swapped:
                (root / "a").rename(root / "moved")
                (root / "a").symlink_to(root.parent / "outside")
                swapped = True
            return checked

    with pytest.raises((InvalidInputError, NotFoundError)):
        await Swapping([root], 1000).read(str(root / "a/b.jpg"))

    assert swapped


@pytest.mark.parametrize(
    "place", ["", "pictures", "../pictures", "/", "/etc", "/pictures\0", "{root}/../x"]
)
def test_a_place_outside_is_refused_at_once(root: Path, place: str) -> None:
    with pytest.raises(InvalidInputError, match="DINOSERVE_INGEST_FOLDERS"):
        listing(root).check(place.format(root=root))


def test_a_folder_whose_name_begins_alike_is_outside(root: Path) -> None:
    with pytest.raises(InvalidInputError):
        listing(root).check(f"{root}-private/a.jpg")


def test_without_folders_nothing_may_be_read(root: Path) -> None:
    with pytest.raises(InvalidInputError, match="takes nothing from folders"):
        FolderListing([], 1000).check(str(root))


async def test_a_place_that_is_not_there_is_not_found(root: Path) -> None:
    with pytest.raises(NotFoundError):
        await found(root, root / "none")


async def test_a_file_that_is_gone_is_not_found(root: Path) -> None:
    with pytest.raises(NotFoundError):
        await listing(root).read(str(root / "a.jpg"))


async def test_a_file_that_is_too_large_is_refused_unread(root: Path) -> None:
    (root / "a.jpg").write_bytes(bytes(1001))

    with pytest.raises(ImageTooLargeError) as caught:
        await listing(root).read(str(root / "a.jpg"))

    assert (caught.value.extra["limit"], caught.value.extra["value"]) == (1000, 1001)


async def test_a_pipe_holds_nobody_up(root: Path) -> None:
    os.mkfifo(root / "a.jpg")

    with pytest.raises(InvalidInputError, match="regular"):
        async with asyncio.timeout(10):
            await listing(root).read(str(root / "a.jpg"))


async def test_a_folder_called_like_a_picture_is_no_file(root: Path) -> None:
    (root / "a.jpg").mkdir()

    with pytest.raises(InvalidInputError, match="regular"):
        await listing(root).read(str(root / "a.jpg"))


async def test_a_name_that_is_no_text_is_found_and_read(root: Path) -> None:
    path = os.fsencode(root) + b"/\xff.jpg"
    with open(path, "wb") as file:  # noqa: PTH123, ASYNC230 - a path of bytes
        file.write(b"odd")

    [[name]] = [batch async for batch in listing(root).names(str(root), None)]
    carried = json.loads(json.dumps(name))

    assert await listing(root).read(carried) == b"odd"
    assert await found(root, root, carried) == []


async def test_a_tree_that_is_too_deep_ends_in_a_name_that_cannot_be_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_listing, "_MAX_DEPTH", 2)
    fill(root, "1/2/3/a.jpg", "b.jpg")

    assert await found(root, root) == ["1/2/3", "b.jpg"]
    with pytest.raises(InvalidInputError):
        await listing(root).read(str(root / "1/2/3"))


async def test_a_folder_that_cannot_be_listed_is_told_of(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(root, "a/b.jpg", "c.jpg")
    listed = os.scandir

    def refuse(path: str) -> object:
        if path == str(root / "a"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(os, "scandir", refuse)

    assert await found(root, root) == ["a", "c.jpg"]
