"""Checks of assets against a character over HTTP, computed by the bundled model."""

import base64
import io
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from character_site import (
    BUNDLED,
    HEIGHT,
    WIDTH,
    checked,
    created,
    give,
    kept_checks,
    mask,
    scene,
)
from in_process import connect_in_process
from odd_files import photo


@pytest.fixture
async def client() -> AsyncGenerator[httpx2.AsyncClient]:
    async with connect_in_process(**BUNDLED) as client:
        yield client


def at(asset: str, left: int = 96) -> dict[str, object]:
    """An asset with a box around its figure."""
    return {"asset": asset, "box": [left, 64, left + 128, 192]}


async def test_a_picture_is_wholly_like_itself(client: httpx2.AsyncClient) -> None:
    own = await give(client, scene(1))
    character = await created(client, own)

    [found] = await checked(client, character, own)

    likeness = found["appearance_similarity"]
    for part in ("whole_image", "foreground", "pair_mean", "reference_mean"):
        assert likeness[part] == pytest.approx(1, abs=1e-5)
    assert likeness["pairs"] == sum(
        row.count("1") for row in found["foreground"]["mask"]
    )
    assert (likeness["reference_share"], likeness["asset_share"]) == (1, 1)
    assert found["drifted"] == []


async def test_a_figure_moved_to_another_place_is_found_by_its_patches(
    client: httpx2.AsyncClient,
) -> None:
    reference, moved = await give(client, scene(1)), await give(client, scene(2, 160))
    other = await give(client, photo(7, WIDTH, HEIGHT))
    character = await created(client, at(reference))

    same, none = await checked(client, character, at(moved, 160), at(other))

    for part in ("foreground", "pair_mean", "reference_mean", "asset_mean"):
        assert same["appearance_similarity"][part] > none["appearance_similarity"][part]


async def test_the_hat_that_changed_is_the_part_that_drifted(
    client: httpx2.AsyncClient,
) -> None:
    reference = await give(client, scene(1))
    changed = await give(client, scene(1, hat="blue"))
    character = await created(client, at(reference))

    [found] = await checked(client, character, at(changed), drifted_below=0.8)

    left, top, right, bottom = found["drifted"][0]["box"]
    assert (top, bottom) == pytest.approx((64, 112), abs=16)
    assert (left, right) == pytest.approx((96, 224), abs=24)
    assert found["drifted"][0]["similarity"] < 0.8
    assert all(part["similarity"] >= 0.8 for part in found["found"])
    patches = sum(part["patches"] for part in [*found["found"], *found["drifted"]])
    assert patches == sum(
        row.count("1") for row in found["reference_foreground"]["mask"]
    )


async def test_the_best_reference_comes_first_and_all_are_told(
    client: httpx2.AsyncClient,
) -> None:
    red, blue = await give(client, scene(1)), await give(client, scene(2, hat="blue"))
    asset = await give(client, scene(3, hat="blue"))
    character = await created(client, at(red), at(blue))

    [found] = await checked(client, character, at(asset))

    scores = [each["appearance_similarity"] for each in found["references"]]
    assert [each["asset"] for each in found["references"]] == [blue, red]
    assert found["best_reference"] == blue
    assert found["appearance_similarity"] == scores[0]
    assert scores[0]["foreground"] > scores[1]["foreground"]


async def test_whole_images_are_compared_by_their_embeddings(
    client: httpx2.AsyncClient,
) -> None:
    one, two = await give(client, scene(1)), await give(client, scene(2))
    body = {"left": [one], "right": [two]}
    [[score]] = (await client.post("/v1/similarity", json=body)).json()["scores"]

    [found] = await checked(client, await created(client, at(one)), at(two))

    whole = found["appearance_similarity"]["whole_image"]
    assert whole == pytest.approx(score, abs=1e-6)


async def test_a_box_and_the_mask_of_the_same_place_give_the_same_patches(
    client: httpx2.AsyncClient,
) -> None:
    one, two = await give(client, scene(1)), await give(client, scene(2))
    # On the edges of patches: 14 columns of 320 / 14 pixels, 14 rows of 16.
    box = {"asset": one, "box": [4 * WIDTH / 14, 64, 9 * WIDTH / 14, 192]}
    boxed = await created(client, box)
    masked = await created(client, {"asset": one, "mask": mask(94)})

    [by_box] = await checked(client, boxed, at(two))
    [by_mask] = await checked(client, masked, {"asset": two, "mask": mask(96)})

    seen = by_box["reference_foreground"], by_mask["reference_foreground"]
    assert [each["origin"] for each in seen] == ["box", "mask"]
    assert by_mask["foreground"]["origin"] == "mask"
    assert seen[0]["mask"][4:12] == ["00001111100000"] * 8
    assert set(seen[1]["mask"][4:12]) <= {"00001111110000", "00001111100000"}
    assert {*seen[0]["mask"][:4], *seen[0]["mask"][12:]} == {"0" * 14}


async def test_without_a_region_the_foreground_is_found_and_told(
    client: httpx2.AsyncClient,
) -> None:
    one, two = await give(client, scene(1)), await give(client, scene(2))

    [found] = await checked(client, await created(client, one), two)

    for seen in (found["foreground"], found["reference_foreground"]):
        assert seen["origin"] == "found"
        patches = sum(row.count("1") for row in seen["mask"])
        assert 0 < patches < 14 * 14
        assert [len(row) for row in seen["mask"]] == [14] * 14


async def test_a_larger_size_gives_finer_patches(client: httpx2.AsyncClient) -> None:
    one = await give(client, scene(1))

    [found] = await checked(client, await created(client, one), one, size="224x320")

    assert [len(row) for row in found["foreground"]["mask"]] == [20] * 14


async def test_an_overlay_shows_reference_and_asset_side_by_side(
    client: httpx2.AsyncClient,
) -> None:
    one, two = await give(client, scene(1)), await give(client, scene(1, hat="blue"))
    character = await created(client, at(one))

    [found] = await checked(client, character, at(two), overlay=True, drifted_below=0.8)

    png = Image.open(io.BytesIO(base64.b64decode(found["overlay"])), formats=["PNG"])
    assert png.size == (2 * WIDTH + 16, HEIGHT)
    corner, hat = (200, 20), (160, 75)
    original = Image.open(io.BytesIO(scene(1)), formats=["PNG"])
    assert png.getpixel(corner) == original.getpixel(corner)
    # Red under half of orange.
    assert png.getpixel(hat) == pytest.approx((242, 80, 0), abs=2)


async def test_what_a_check_found_is_kept_once_for_each_asset(
    client: httpx2.AsyncClient,
) -> None:
    one, two, three = [await give(client, scene(seed)) for seed in (1, 2, 3)]
    character = await created(client, at(one))
    await checked(client, character, two, three)

    [found] = await checked(client, character, at(two), drifted_below=0.9)

    checks = {each["asset"]: each for each in await kept_checks(client, character)}
    assert checks.keys() == {two, three}
    kept = checks[two]
    assert kept["best_reference"] == one
    assert kept["findings"]["drifted_below"] == 0.9
    assert kept["findings"]["foreground"] == {"reference": "box", "asset": "box"}
    for part in ("appearance_similarity", "found", "drifted"):
        assert kept["findings"][part] == found[part]


async def test_kept_checks_come_in_pages(client: httpx2.AsyncClient) -> None:
    ids = [await give(client, scene(seed)) for seed in range(3)]
    character = await created(client, ids[0])
    await checked(client, character, *ids)
    path, found = f"/v1/characters/{character}/checks", list[str]()
    params: dict[str, str | int] = {"limit": 2}
    while True:
        page = (await client.get(path, params=params)).json()
        found += [each["asset"] for each in page["checks"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]

    assert sorted(found) == sorted(ids)


async def test_nothing_is_left_of_an_erased_asset_in_any_check(
    tmp_path: Path,
) -> None:
    changes = {**BUNDLED, "documents": "sqlite:", "objects": "file:"}
    async with connect_in_process(data=tmp_path, **changes) as client:
        one, two, three = [await give(client, scene(seed)) for seed in (1, 2, 3)]
        character = await created(client, at(one), three)
        await checked(client, character, one, two, three)

        await client.delete(f"/v1/assets/{one}")
        await client.delete(f"/v1/assets/{two}")

        left = await kept_checks(client, character)
        assert [(each["asset"], each["best_reference"]) for each in left] == [
            (three, three)
        ]
    # Change feed aside, which tells others of the erasure.
    assert leftovers(tmp_path / "documents.sqlite", one, two) == []


def leftovers(file: Path, *ids: str) -> list[str]:
    """Return the tables that still have one of the ids."""
    with closing(sqlite3.connect(file)) as connection:
        select = "SELECT name FROM sqlite_schema WHERE type = 'table'"
        tables = [row[0] for row in connection.execute(select)]
        return [
            table
            for table in tables
            if table != "change"
            and any(
                key in str(row)
                for row in connection.execute(f"SELECT * FROM {table}")
                for key in ids
            )
        ]
