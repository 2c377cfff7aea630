"""Quality over HTTP: measures, issues, thresholds, typicality, maps of blur."""

import base64
import io
from typing import Any

import httpx2
import numpy as np
import pytest
from PIL import Image, ImageFilter

from dinoserve.domain.quality import MEASURES, measure
from dinoserve.domain.quality_issues import RULES
from in_process import Connect
from odd_files import photo

JPEG = {"content-type": "image/jpeg"}


def data_uri(data: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


def plain(grey: int, width: int = 300, height: int = 200) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (grey, grey, grey)).save(file, "PNG")
    return file.getvalue()


async def told(client: httpx2.AsyncClient, *given: str, **more: Any) -> dict[str, Any]:
    answer = await client.post("/v1/quality", json={"input": list(given), **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def refused(
    client: httpx2.AsyncClient, body: object, path: str = "/v1/quality"
) -> dict[str, Any]:
    answer = await client.post(path, json=body)
    assert answer.status_code in {404, 409, 413, 415, 422}, answer.text
    return answer.json()


async def uploaded(client: httpx2.AsyncClient, data: bytes, **fields: str) -> str:
    files = {"file": ("a.jpg", data)}
    answer = await client.post("/v1/assets", files=files, data=fields)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def names(image: dict[str, Any]) -> set[str]:
    return {issue["issue"] for issue in image["issues"]}


async def test_every_measure_of_an_image_is_told(client: httpx2.AsyncClient) -> None:
    data = photo(1, format="PNG")
    answer = await told(client, data_uri(data))
    [image] = answer["images"]
    expected = measure(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    assert answer["method"] == "quality-1"
    assert set(answer["thresholds"]) == set(RULES)
    assert tuple(image["measures"]) == MEASURES
    for name, value in image["measures"].items():
        assert value == pytest.approx(getattr(expected, name), abs=1e-6)
    assert "overall" not in image


async def test_issues_are_told_with_value_and_threshold(
    client: httpx2.AsyncClient,
) -> None:
    [image] = (await told(client, data_uri(plain(20))))["images"]
    assert names(image) == {"dark", "low_information", "greyscale"}
    dark = image["issues"][0]
    assert dark["value"] == pytest.approx(20 / 255, abs=1e-3)
    assert (dark["threshold"], dark["beyond"]) == (0.32, "below")


async def test_files_and_bytes_are_measured_as_json_is(
    client: httpx2.AsyncClient,
) -> None:
    data = photo(2)
    options = {"thresholds": "dark=0.999,greyscale=off"}
    limits = {"dark": 0.999, "greyscale": None}
    expected = await told(client, data_uri(data), thresholds=limits)
    form = await client.post("/v1/quality", files=[("file", data)], data=options)
    raw = await client.post("/v1/quality", content=data, headers=JPEG, params=options)
    assert form.json() == raw.json() == expected


async def test_thresholds_of_a_request_go_before_the_deployments(
    connect: Connect,
) -> None:
    async with connect(quality_thresholds="dark=0.05,too_small=off") as client:
        given = data_uri(plain(20, 40, 40))
        usual = await told(client, given)
        asked = await told(client, given, thresholds={"dark": 0.1})
    assert usual["thresholds"]["dark"] == 0.05
    assert usual["thresholds"]["too_small"] is None
    assert not names(usual["images"][0]) & {"dark", "too_small"}
    assert "dark" in names(asked["images"][0])
    assert asked["thresholds"]["too_small"] is None


async def test_an_overall_number_takes_weights_and_tells_its_formula(
    client: httpx2.AsyncClient,
) -> None:
    given = data_uri(plain(20))
    answer = await told(client, given, weights={"dark": 1, "bright": 3})
    share = answer["images"][0]["measures"]["dark_score"] / 0.32
    assert answer["images"][0]["overall"] == pytest.approx((share + 3) / 4, abs=1e-5)
    assert "w * s" in answer["overall_formula"]


async def test_an_asset_is_measured_once_and_images_leave_nothing(
    client: httpx2.AsyncClient,
) -> None:
    key = await uploaded(client, photo(3))
    first = await told(client, key, data_uri(photo(3)))
    assert first["images"][0] == first["images"][1]
    assert await told(client, key) == {**first, "images": first["images"][:1]}
    listed = await client.get("/v1/assets")
    assert [asset["id"] for asset in listed.json()["assets"]] == [key]


async def test_typicality_is_told_of_a_named_reference(connect: Connect) -> None:
    async with connect(model="bundled", engine="torch", precision="fp32") as client:
        keys = [
            await uploaded(client, photo(1, 120 + wider, 90), collection="shop")
            for wider in range(6)
        ]
        odd = data_uri(photo(7, 120, 90))
        answer = await told(client, odd, keys[0], reference="shop", k=2)
    reference = answer["reference"]
    assert (reference["collection"], reference["size"], reference["k"]) == (
        "shop",
        6,
        2,
    )
    far, near = (image["typicality"] for image in answer["images"])
    assert far["percentile"] == 100
    assert 0 <= near["distance"] < far["distance"] <= 2


@pytest.mark.parametrize("count", [0, 1])
async def test_a_reference_of_hardly_any_is_refused(
    client: httpx2.AsyncClient, count: int
) -> None:
    for seed in range(count):
        await uploaded(client, photo(seed), collection="few")
    body = {"input": data_uri(photo(9)), "reference": "few"}
    problem = await refused(client, body)
    assert (problem["field"], problem["limit"], problem["value"]) == (
        "reference",
        2,
        count,
    )


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"thresholds": {"foggy": 1}}, "thresholds"),
        ({"thresholds": {"dark": 1.5}}, "thresholds"),
        ({"thresholds": {"dark": "x"}}, "thresholds.dark"),
        ({"weights": {}}, "weights"),
        ({"weights": {"dark": 0}}, "weights.dark"),
        ({"weights": {"dark": None}}, "weights.dark"),
        ({"reference": ""}, "reference"),
        ({"reference": "shop", "k": 0}, "k"),
        ({"reference": "shop", "k": 1_000_000}, "k"),
        ({"model": "other"}, None),
        ({"sharpness": 1}, "sharpness"),
    ],
)
async def test_what_cannot_be_asked_is_refused_with_its_field(
    client: httpx2.AsyncClient, more: dict[str, Any], field: str | None
) -> None:
    problem = await refused(client, {"input": data_uri(photo(1)), **more})
    assert str(problem.get("field")).startswith(field or "")


async def test_texts_that_are_no_thresholds_are_refused(
    client: httpx2.AsyncClient,
) -> None:
    for name in ("thresholds", "weights"):
        answer = await client.post(
            "/v1/quality", content=photo(1), headers=JPEG, params={name: "dark=much"}
        )
        assert answer.status_code == 422, answer.text
        assert answer.json()["field"] == name


@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
async def test_a_threshold_in_text_is_a_finite_number(
    client: httpx2.AsyncClient, number: str
) -> None:
    answer = await client.post(
        "/v1/quality",
        content=photo(1),
        headers=JPEG,
        params={"thresholds": f"dark={number}"},
    )
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == "thresholds"


@pytest.mark.parametrize("path", ["/v1/quality", "/v1/quality/blur-map"])
async def test_images_that_cannot_be_read_are_named(
    client: httpx2.AsyncClient, path: str
) -> None:
    for given in ("0" * 32, data_uri(b"no image"), data_uri(photo(1)[:3000]), "text"):
        problem = await refused(client, {"input": given}, path)
        assert str(problem.get("field", "input")).startswith("input"), problem


async def test_the_second_of_two_images_is_named(client: httpx2.AsyncClient) -> None:
    body = {"input": [data_uri(photo(1)), data_uri(b"no image")]}
    assert (await refused(client, body))["field"] == "input[1]"


async def test_one_request_may_hold_more_images_than_may_wait(
    connect: Connect,
) -> None:
    async with connect(max_waiting_images=1) as client:
        images = [data_uri(photo(seed)) for seed in range(3)]
        assert len((await told(client, *images))["images"]) == 3


async def test_a_map_shows_where_a_picture_is_blurred(
    client: httpx2.AsyncClient,
) -> None:
    image = Image.open(io.BytesIO(photo(4))).convert("RGB")
    left = image.crop((0, 0, 250, 375)).filter(ImageFilter.GaussianBlur(8))
    image.paste(left, (0, 0))
    file = io.BytesIO()
    image.save(file, "PNG")
    body = {"input": data_uri(file.getvalue())}
    answer = await client.post("/v1/quality/blur-map", json=body)
    assert answer.status_code == 200, answer.text
    values = np.array(answer.json()["values"], np.float64)
    assert values.shape == (24, 32)
    assert answer.json()["cell"] == [16, 16]
    blurred, sharp = np.nanmedian(values[:, :14]), np.nanmedian(values[:, 18:])
    assert blurred > sharp + 0.2


async def test_cells_of_a_flat_picture_are_null(client: httpx2.AsyncClient) -> None:
    body = {"input": data_uri(plain(90, 1024, 512))}
    found = (await client.post("/v1/quality/blur-map", json=body)).json()
    assert {value for row in found["values"] for value in row} == {None}
    assert found["cell"] == [32, 32]
    assert (found["image_width"], found["image_height"]) == (1024, 512)


async def test_a_map_as_png_has_the_pictures_size(client: httpx2.AsyncClient) -> None:
    key = await uploaded(client, photo(5))
    body = {"input": key, "format": "png"}
    answer = await client.post("/v1/quality/blur-map", json=body)
    assert answer.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(answer.content)).size == (500, 375)


async def test_a_map_of_two_images_is_refused(client: httpx2.AsyncClient) -> None:
    body = {"input": [data_uri(photo(1)), data_uri(photo(2))]}
    problem = await refused(client, body, "/v1/quality/blur-map")
    assert (problem["field"], problem["limit"], problem["value"]) == ("input", 1, 2)
