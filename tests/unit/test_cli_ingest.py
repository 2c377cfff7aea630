"""What `dinoserve ingest` finds, gives and counts, against the real application."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest

from dinoserve.cli.client import ApiError, Client, NoServerError
from dinoserve.cli.ingest import Found, Said, Saying, find_images, upload_all
from in_process import make_app
from odd_files import photo


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names(found: Found, root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in found.images]


def test_images_of_every_kind_and_case_are_found_others_counted(tmp_path: Path) -> None:
    kinds = "a.jpg b.JPEG c.Png d.webp e.gif f.bmp g.tif h.TIFF i.avif"
    touch(tmp_path, *kinds.split(), "j.txt", "jpg")
    found = find_images([tmp_path], every=False)
    assert names(found, tmp_path) == kinds.split()
    assert found.skipped == 2


def test_all_takes_files_of_every_name(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt", "b")
    found = find_images([tmp_path], every=True)
    assert names(found, tmp_path) == ["a.txt", "b"]


def test_folders_are_walked_in_a_fixed_order(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.jpg", "b/1.jpg", "a/z/9.jpg", "a/8.jpg", "c.jpg")
    found = find_images([tmp_path], every=False)
    expected = ["c.jpg", "a/8.jpg", "a/z/9.jpg", "b/1.jpg", "b/2.jpg"]
    assert names(found, tmp_path) == expected


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    touch(tmp_path, ".a.jpg", ".b/c.jpg", "d.jpg")
    assert names(find_images([tmp_path], every=False), tmp_path) == ["d.jpg"]


def test_a_hidden_file_that_is_named_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, ".a.jpg")
    assert find_images([tmp_path / ".a.jpg"], every=False).images


def test_a_folder_behind_a_link_is_not_entered(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.jpg")
    (tmp_path / "real/loop").symlink_to(tmp_path)
    found = find_images([tmp_path / "real"], every=False)
    assert names(found, tmp_path) == ["real/a.jpg"]


def test_a_link_to_a_file_is_an_image_and_a_broken_one_is_not(tmp_path: Path) -> None:
    touch(tmp_path, "x/a.jpg")
    (tmp_path / "b.jpg").symlink_to("x/a.jpg")
    (tmp_path / "c.jpg").symlink_to("nowhere")
    found = find_images([tmp_path], every=False)
    assert names(found, tmp_path) == ["b.jpg", "x/a.jpg"]


def test_what_would_block_when_read_is_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert not find_images([tmp_path], every=True).images


def test_a_file_that_two_paths_lead_to_is_taken_once(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    found = find_images([tmp_path, tmp_path / "a.jpg"], every=False)
    assert names(found, tmp_path) == ["a.jpg"]


def test_a_path_that_is_not_there_is_told(tmp_path: Path) -> None:
    found = find_images([tmp_path / "no"], every=False)
    assert found.unreadable == [(str(tmp_path / "no"), "No such file or directory")]


class Line(httpx2.AsyncBaseTransport):
    """The way to an application in this process; it can be cut and mended.

    Attributes:
        uploads_left: uploads that pass before it is cut; None: it holds.
        breaks_on: bytes that no request may hold; empty: all may pass.
    """

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self._transport = transport
        self.uploads_left: int | None = None
        self.breaks_on = b""
        self.idle = asyncio.Event()
        self.idle.set()
        self.under_way = 0
        self.most_under_way = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self.uploads_left == 0:
            raise httpx2.ConnectError("cut")
        if self.uploads_left is not None and request.method == "POST":
            self.uploads_left -= 1
        if self.breaks_on and self.breaks_on in await request.aread():
            raise httpx2.WriteError("broken")
        self.under_way += 1
        self.idle.clear()
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await self._transport.handle_async_request(request)
        finally:
            self.under_way -= 1
            if not self.under_way:
                self.idle.set()


class Place:
    """A client, the line it uses, and what happens while it waits."""

    def __init__(self, line: Line, http: httpx2.AsyncClient) -> None:
        self.line = line
        self.http = http
        self.on_wait: Callable[[], None] = lambda: None
        self.client = Client(http, self._wait)

    async def _wait(self, seconds: float) -> None:
        if seconds:
            self.on_wait()
        await self.line.idle.wait()  # the next try then meets a server with room

    async def upload(
        self, *paths: Path, said: Said | None = None, concurrency: int = 3
    ) -> None:
        found = find_images(paths, every=False)
        self.tally = await upload_all(
            self.client, found, Saying(said or Said()), concurrency
        )

    async def listed(self) -> list[dict[str, object]]:
        answer = await self.http.get("/v1/assets", params={"limit": 1000})
        return answer.json()["assets"]


Open = Callable[..., Awaitable[Place]]


@pytest.fixture
async def open_place() -> AsyncGenerator[Open]:
    async with AsyncExitStack() as stack:

        async def open_one(key: str = "", **changes: object) -> Place:
            app = make_app(**changes)
            await stack.enter_async_context(app.router.lifespan_context(app))
            line = Line(httpx2.ASGITransport(app))
            http = httpx2.AsyncClient(
                transport=line, base_url="http://127.0.0.1", headers={"x-api-key": key}
            )
            return Place(line, await stack.enter_async_context(http))

        yield open_one


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for seed in range(12):
        (tmp_path / f"{seed:02}.jpg").write_bytes(photo(seed, 64, 48))
    return tmp_path


async def test_every_picture_is_uploaded_and_counted_as_new(
    open_place: Open, pictures: Path
) -> None:
    place = await open_place()
    await place.upload(pictures)
    assert place.tally.outcomes == {"new": 12, "already there": 0}
    assert len(await place.listed()) == 12
    assert place.tally.exit_code == 0


async def test_the_second_time_all_are_already_there(
    open_place: Open, pictures: Path
) -> None:
    place = await open_place()
    await place.upload(pictures)
    await place.upload(pictures)
    assert place.tally.outcomes == {"new": 0, "already there": 12}


async def test_other_callers_go_first(open_place: Open, pictures: Path) -> None:
    told: list[str] = []

    async def note(request: httpx2.Request) -> None:
        if request.method == "POST":
            told.append(request.headers["x-request-priority"])

    place = await open_place()
    place.http.event_hooks = {"request": [note]}
    await place.upload(pictures / "00.jpg")
    assert told == ["bulk"]


async def test_what_is_said_of_a_picture_is_kept(
    open_place: Open, pictures: Path
) -> None:
    place = await open_place()
    said = Said("trip", ["sea", "2026"], "ann", embed=False)
    await place.upload(pictures / "00.jpg", said=said)
    (asset,) = await place.listed()
    kept = {key: asset[key] for key in ("collection", "tags", "subject", "embeddings")}
    assert kept == {
        "collection": "trip",
        "tags": ["sea", "2026"],
        "subject": "ann",
        "embeddings": [],
    }
    assert asset["filename"] == "00.jpg"


async def test_a_bad_file_fails_alone_with_path_and_reason(
    open_place: Open, pictures: Path
) -> None:
    (pictures / "05.jpg").write_bytes(b"")
    place = await open_place()
    await place.upload(pictures)
    (failure,) = place.tally.failures
    assert (failure.item, failure.code) == (str(pictures / "05.jpg"), "image-empty")
    assert place.tally.outcomes["new"] == 11
    assert place.tally.exit_code == 1


async def test_a_path_that_is_not_there_fails_beside_the_good_ones(
    open_place: Open, pictures: Path
) -> None:
    place = await open_place()
    await place.upload(pictures, pictures / "gone")
    assert [failure.code for failure in place.tally.failures] == ["unreadable"]
    assert place.tally.outcomes["new"] == 12


async def test_a_file_erased_before_its_turn_is_unreadable(
    open_place: Open, pictures: Path
) -> None:
    place = await open_place()
    found = find_images([pictures], every=False)
    (pictures / "03.jpg").unlink()
    tally = await upload_all(place.client, found, Saying(Said()), 2)
    assert [failure.code for failure in tally.failures] == ["unreadable"]


async def test_a_name_that_is_no_text_is_uploaded_all_the_same(
    open_place: Open, tmp_path: Path
) -> None:
    (tmp_path / os.fsdecode(b"\xff.jpg")).write_bytes(photo(1, 64, 48))
    place = await open_place()
    await place.upload(tmp_path)
    assert place.tally.outcomes["new"] == 1


async def test_no_more_uploads_are_under_way_than_allowed(
    open_place: Open, pictures: Path
) -> None:
    place = await open_place()
    await place.upload(pictures)
    assert 1 < place.line.most_under_way <= 3


async def test_a_full_server_is_waited_for(open_place: Open, pictures: Path) -> None:
    place = await open_place(max_waiting_images=1)
    await place.upload(pictures)
    assert place.tally.outcomes["new"] == 12


async def test_a_server_that_comes_back_is_carried_on_with(
    open_place: Open, pictures: Path
) -> None:
    place = await open_place()
    place.line.uploads_left = 5
    place.on_wait = lambda: setattr(place.line, "uploads_left", None)
    await place.upload(pictures)
    assert place.tally.outcomes["new"] == 12
    assert not place.tally.stopped


async def test_a_server_that_stays_away_ends_the_work_and_the_rest_is_told(
    open_place: Open, pictures: Path
) -> None:
    place = await open_place()
    place.line.uploads_left = 5
    await place.upload(pictures, concurrency=1)
    assert place.tally.as_json()["left"] == 7
    assert "7 images are left" in "\n".join(place.tally.lines())
    assert place.tally.exit_code == 1


async def test_a_file_that_breaks_every_connection_fails_alone(
    open_place: Open, pictures: Path
) -> None:
    place = await open_place()
    place.line.breaks_on = (pictures / "07.jpg").read_bytes()
    await place.upload(pictures)
    (failure,) = place.tally.failures
    assert (Path(failure.item).name, failure.code) == ("07.jpg", "connection-lost")
    assert place.tally.outcomes["new"] == 11


async def test_without_a_server_nothing_is_tried(
    open_place: Open, pictures: Path
) -> None:
    place = await open_place()
    place.line.uploads_left = 0
    with pytest.raises(NoServerError):
        await place.upload(pictures)


async def test_with_a_wrong_key_nothing_is_tried(
    open_place: Open, pictures: Path
) -> None:
    place = await open_place(key="wrong", api_keys="right")
    with pytest.raises(ApiError, match="unauthorized"):
        await place.upload(pictures)
