"""Dense features over HTTP, computed by the bundled model and by a small ConvNeXt."""

import base64
import io
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load

from dinoserve.domain.vectors import normalise
from in_process import Connect, connect_in_process
from models import make_convnext
from odd_files import oriented, photo

JPEG = {"content-type": "image/jpeg"}


def torch(model: str = "bundled", **changes: object) -> dict[str, object]:
    """Settings of a model that serves without a choice among engines to be made."""
    return {"model": model, "engine": "torch", "precision": "fp32", **changes}


@pytest.fixture
async def client() -> AsyncGenerator[httpx2.AsyncClient]:
    async with connect_in_process(**torch()) as client:
        yield client


def data_uri(data: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


async def features(
    client: httpx2.AsyncClient, *images: bytes, **fields: Any
) -> dict[str, Any]:
    body = {"input": [data_uri(image) for image in images], **fields}
    answer = await client.post("/v1/features", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def arrays(
    client: httpx2.AsyncClient, *images: bytes, **fields: Any
) -> dict[str, NDArray[np.float32]]:
    files = [("file", image) for image in images]
    fields = {"format": "safetensors", **fields}
    answer = await client.post("/v1/features", files=files, data=fields)
    assert answer.status_code == 200, answer.text
    return load(answer.content)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=["PNG"])


async def test_an_answer_has_every_output_in_its_shape(
    client: httpx2.AsyncClient,
) -> None:
    outputs = ["cls", "patches", "registers", "mean"]

    answer = await features(client, photo(1), outputs=outputs)

    [image] = answer["images"]
    shapes = {name: np.shape(image[name]) for name in outputs}
    assert shapes == {
        "cls": (192,),
        "patches": (14, 14, 192),
        "registers": (4, 192),
        "mean": (192,),
    }
    flat = np.reshape(image["patches"], (-1, 192))
    assert np.mean(flat, axis=0) == pytest.approx(image["mean"], abs=1e-5)


async def test_class_token_and_patches_are_what_is_sent_by_default(
    client: httpx2.AsyncClient,
) -> None:
    [image] = (await features(client, photo(1)))["images"]

    assert set(image) == {"geometry", "cls", "patches"}


async def test_the_class_token_made_unit_length_is_the_embedding(
    client: httpx2.AsyncClient,
) -> None:
    embedded = await client.post("/v1/embeddings", json={"input": data_uri(photo(1))})

    answer = await features(client, photo(1), outputs=["cls"])

    vector = np.array(answer["images"][0]["cls"])
    assert not 0.9 < np.linalg.norm(vector) < 1.1  # raw, not scaled
    own = embedded.json()
    assert normalise(vector) == pytest.approx(own["data"][0]["embedding"], abs=1e-6)
    assert answer["recipe"] == own["recipe"]


async def test_every_way_to_send_an_image_gives_the_same(
    client: httpx2.AsyncClient,
) -> None:
    uploaded = await client.post("/v1/assets", files={"file": photo(1)})
    by_uri = await features(client, photo(1), size="64", outputs=["cls", "mean"])

    by_asset = await client.post(
        "/v1/features",
        json={
            "input": {"image": uploaded.json()["id"]},
            "size": "64",
            "outputs": ["cls", "mean"],
        },
    )
    by_form = await client.post(
        "/v1/features",
        files={"file": photo(1)},
        data={"size": "64", "outputs": "cls,mean"},
    )
    by_bytes = await client.post(
        "/v1/features",
        params={"size": "64", "outputs": "cls, mean"},
        content=photo(1),
        headers=JPEG,
    )

    assert by_asset.json() == by_form.json() == by_bytes.json() == by_uri


async def test_several_images_come_back_in_order(client: httpx2.AsyncClient) -> None:
    both = await arrays(client, photo(1), photo(2), outputs="cls")
    second = await arrays(client, photo(2), outputs="cls")

    assert set(both) == {"0.cls", "1.cls"}
    assert both["1.cls"] == pytest.approx(second["0.cls"], abs=1e-4)
    assert not np.allclose(both["0.cls"], second["0.cls"], atol=1e-2)


@pytest.mark.parametrize(
    ("fields", "rows", "columns"),
    [
        ({"size": "224"}, 14, 14),
        ({"size": "48x96"}, 3, 6),
        ({"size": "64", "fit": "crop"}, 4, 4),
        ({"size": "64", "fit": "letterbox"}, 4, 4),
        ({"size": "long:128"}, 6, 8),
        ({"size": "short:96", "fit": "round"}, 6, 8),
    ],
)
async def test_the_grid_follows_size_and_fit(
    client: httpx2.AsyncClient, fields: dict[str, str], rows: int, columns: int
) -> None:
    answer = await features(client, photo(1, 400, 300), outputs=["patches"], **fields)

    [image] = answer["images"]
    assert np.shape(image["patches"]) == (rows, columns, 192)
    assert (image["geometry"]["rows"], image["geometry"]["columns"]) == (rows, columns)


async def test_geometry_tells_of_a_turned_picture_upright(
    client: httpx2.AsyncClient,
) -> None:
    [upright] = (await features(client, oriented(1), size="64"))["images"]

    [turned] = (await features(client, oriented(6), size="64"))["images"]

    was, now = upright["geometry"], turned["geometry"]
    assert now["orientation"] == 6
    assert (now["image_width"], now["image_height"]) == (
        was["image_height"],
        was["image_width"],
    )
    assert now["source"] == [0, 0, now["image_width"], now["image_height"]]


async def test_the_mean_leaves_padding_out(client: httpx2.AsyncClient) -> None:
    answer = await features(
        client,
        photo(1, 400, 200),
        size="128",
        fit="letterbox",
        outputs=["patches", "mean"],
    )

    [image] = answer["images"]
    assert image["geometry"]["content"] == [0, 32, 128, 96]
    seen = np.array(image["patches"])[2:6].reshape(-1, 192)
    assert seen.mean(axis=0) == pytest.approx(image["mean"], abs=1e-5)


async def test_a_size_of_its_own_is_a_recipe_of_its_own(
    client: httpx2.AsyncClient,
) -> None:
    own = await features(client, photo(1), outputs=["cls"])

    other = await features(client, photo(1), outputs=["cls"], size="64")

    assert other["recipe"] != own["recipe"]
    assert "64x64" in other["preprocessing"]


async def test_npz_holds_what_json_says(client: httpx2.AsyncClient) -> None:
    told = await features(client, photo(1), photo(2), size="long:64")

    answer = await client.post(
        "/v1/features",
        files=[("file", photo(1)), ("file", photo(2))],
        data={"size": "long:64", "format": "npz"},
    )

    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"].endswith('"features.npz"')
    archive = np.load(io.BytesIO(answer.content))
    assert json.loads(archive["geometry.json"])["recipe"] == told["recipe"]
    for at, image in enumerate(told["images"]):
        for name in ("cls", "patches"):
            assert archive[f"{at}.{name}"] == pytest.approx(np.array(image[name]))
    assert len(archive.files) == 5


async def test_safetensors_tells_its_length_and_its_geometry(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.post(
        "/v1/features?format=safetensors&size=64", content=photo(1), headers=JPEG
    )

    assert int(answer.headers["content-length"]) == len(answer.content)
    assert load(answer.content)["0.patches"].shape == (4, 4, 192)
    size = int.from_bytes(answer.content[:8], "little")
    metadata = json.loads(answer.content[8 : 8 + size])["__metadata__"]
    assert json.loads(metadata["geometry"])["images"][0]["geometry"]["rows"] == 4


async def test_float16_is_float32_rounded(client: httpx2.AsyncClient) -> None:
    wide = await arrays(client, photo(1), size="64")

    narrow = await arrays(client, photo(1), size="64", dtype="float16")

    for name, values in wide.items():
        assert narrow[name].dtype == np.float16
        assert np.array_equal(narrow[name], values.astype(np.float16))


async def test_json_beyond_a_million_numbers_points_to_the_other_formats(
    client: httpx2.AsyncClient,
) -> None:
    files = [("file", photo(seed, 32, 32)) for seed in range(6)]

    fields = {"size": "512", "outputs": "patches"}
    answer = await client.post("/v1/features", files=files, data=fields)

    problem = answer.json()
    assert answer.status_code == 422
    assert (problem["field"], problem["limit"]) == ("format", 1_000_000)
    assert problem["value"] == 6 * 32 * 32 * 192
    assert "safetensors" in problem["detail"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"outputs": ["cls", "logits"]}, "outputs[1]"),
        ({"outputs": []}, "outputs"),
        ({"format": "csv"}, "format"),
        ({"dtype": "float64"}, "dtype"),
        ({"size": "big"}, "size"),
        ({"size": "100"}, "size"),
        ({"size": "0"}, "size"),
        ({"size": "2048"}, "size"),
        ({"size": "224", "fit": "stretch"}, "fit"),
        ({"size": "224", "fit": "round"}, "fit"),
        ({"size": "long:224", "fit": "crop"}, "fit"),
        ({"fit": "crop"}, "fit"),
        ({"scale": "224"}, "scale"),
        ({"input": []}, "input"),
        ({"input": ["cat"]}, "input[0]"),
        ({"input": ["data:image/png;base64,AAAA"]}, "input[0]"),
    ],
)
async def test_what_cannot_be_used_is_named(
    client: httpx2.AsyncClient, fields: dict[str, Any], field: str
) -> None:
    body = {"input": [data_uri(photo(1))]} | fields

    answer = await client.post("/v1/features", json=body)

    assert answer.status_code in {415, 422}
    assert answer.json()["field"] == field


async def test_a_picture_that_becomes_too_many_patches_is_refused_with_the_limit(
    connect: Connect,
) -> None:
    async with connect(**torch(max_patches=200)) as client:
        answer = await client.post(
            "/v1/features?size=long:512", content=photo(1, 400, 300), headers=JPEG
        )

    problem = answer.json()
    assert answer.status_code == 422
    assert (problem["field"], problem["limit"], problem["value"]) == ("size", 200, 768)


async def test_a_bad_image_among_good_ones_is_named(
    client: httpx2.AsyncClient,
) -> None:
    body = {"input": [data_uri(photo(1)), data_uri(photo(2)[:900])]}

    answer = await client.post("/v1/features", json=body)

    assert answer.json()["type"] == "/problems/image-damaged"
    assert answer.json()["field"] == "input[1]"


async def test_a_model_that_is_not_loaded_is_not_found(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.post(
        "/v1/features?model=other", content=photo(1), headers=JPEG
    )

    assert answer.status_code == 404


async def test_a_convnext_has_patches_and_no_registers(
    connect: Connect, tmp_path: Path
) -> None:
    folder = make_convnext(tmp_path / "convnext")
    async with connect(**torch(str(folder))) as client:
        answer = await features(client, photo(1), size="96x64")
        # Refused before the image is looked at.
        refused = await client.post(
            "/v1/features?outputs=cls,registers", content=b"none", headers=JPEG
        )

    [image] = answer["images"]
    assert np.shape(image["patches"]) == (3, 2, 32)
    assert image["geometry"]["patch_px"] == 32
    assert refused.status_code == 422
    assert refused.json()["field"] == "outputs"
    assert refused.json()["value"] == "registers"


@pytest.mark.parametrize("size", ["", "?size=64"])
async def test_the_stub_has_no_features(connect: Connect, size: str) -> None:
    async with connect(model="stub") as client:
        answer = await client.post(
            f"/v1/features{size}", content=photo(1), headers=JPEG
        )

    assert answer.status_code == 422
    assert answer.json()["field"] == "model"


async def test_components_of_one_image_are_a_png_of_its_aspect(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.post(
        "/v1/features/pca?format=png", content=photo(1, 400, 300), headers=JPEG
    )

    assert answer.headers["content-type"] == "image/png"
    picture = opened(answer.content)
    assert picture.size == (400, 300)
    assert len(picture.convert("RGB").getcolors(10**6) or []) > 50


async def test_components_come_out_the_same_every_time(
    client: httpx2.AsyncClient,
) -> None:
    url = "/v1/features/pca?format=png&foreground=true"

    answers = [await client.post(url, content=photo(1), headers=JPEG) for _ in range(2)]

    assert answers[0].content == answers[1].content


async def test_background_is_clear(client: httpx2.AsyncClient) -> None:
    answer = await client.post(
        "/v1/features/pca?format=png&foreground=true", content=photo(1), headers=JPEG
    )

    alpha = np.asarray(opened(answer.content))[..., 3]
    assert set(np.unique(alpha)) == {0, 255}


async def components(
    client: httpx2.AsyncClient, *images: bytes, **fields: Any
) -> list[dict[str, Any]]:
    body = {"input": [data_uri(image) for image in images], **fields}
    answer = await client.post("/v1/features/pca", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()["images"]


async def test_the_basis_explains_the_patches(client: httpx2.AsyncClient) -> None:
    [dense] = (await features(client, photo(1), outputs=["patches"]))["images"]

    [image] = await components(client, photo(1), basis=True)

    patches = np.array(dense["patches"]).reshape(-1, 192)
    mean, rows = (np.array(image["basis"][key]) for key in ("mean", "components"))
    scores = (patches - mean) @ rows.T
    shares = scores.var(axis=0) / patches.var(axis=0).sum()
    assert shares == pytest.approx(image["explained_variance"], abs=1e-4)


async def test_a_shared_basis_is_one_for_all(client: httpx2.AsyncClient) -> None:
    images = [photo(1), photo(2)]

    own = await components(client, *images, basis=True)
    shared = await components(client, *images, basis=True, shared=True)

    assert own[0]["basis"] != own[1]["basis"]
    assert shared[0]["basis"] == shared[1]["basis"]
    assert opened(base64.b64decode(shared[0]["png"])).size == (500, 375)


async def test_the_basis_is_sent_only_if_asked_for(client: httpx2.AsyncClient) -> None:
    [image] = await components(client, photo(1))

    assert set(image) == {"png", "explained_variance", "geometry"}


async def test_a_png_of_several_images_is_refused(client: httpx2.AsyncClient) -> None:
    files = [("file", photo(1)), ("file", photo(2))]

    answer = await client.post("/v1/features/pca", files=files, data={"format": "png"})

    assert answer.status_code == 422
    assert answer.json()["field"] == "format"


async def mapped(client: httpx2.AsyncClient, **fields: Any) -> httpx2.Response:
    body = {"source": data_uri(photo(1, 448, 336)), **fields}
    return await client.post("/v1/features/similarity-map", json=body)


async def test_the_patch_at_a_point_is_the_one_most_like_it(
    client: httpx2.AsyncClient,
) -> None:
    answer = await mapped(client, point=[100, 200])

    found = answer.json()
    row, column = int(200 / (336 / 14)), int(100 / (448 / 14))
    assert (found["best"]["row"], found["best"]["column"]) == (row, column)
    assert found["best"]["score"] == pytest.approx(1, abs=1e-5)
    left, top, right, bottom = found["best"]["box"]
    assert left <= 100 < right
    assert top <= 200 < bottom


async def test_a_map_holds_the_cosine_of_every_patch(
    client: httpx2.AsyncClient,
) -> None:
    images = [photo(1, 448, 336), photo(2, 300, 300)]
    found = await features(client, *images, outputs=["patches"])
    source, target = (np.array(image["patches"]) for image in found["images"])

    answer = await mapped(client, target=data_uri(images[1]), box=[32, 24, 96, 48])

    query = source[1, 1:3].mean(axis=0)
    lengths = np.linalg.norm(target, axis=-1) * np.linalg.norm(query)
    assert np.array(answer.json()["values"]) == pytest.approx(
        target @ query / lengths, abs=1e-4
    )
    assert answer.json()["geometry"]["image_width"] == 300


async def test_a_map_is_drawn_over_the_target(client: httpx2.AsyncClient) -> None:
    answer = await mapped(
        client, target=data_uri(photo(2, 2000, 1000)), point=[9, 9], format="png"
    )

    assert answer.headers["content-type"] == "image/png"
    assert opened(answer.content).size == (1024, 512)


async def test_padding_is_never_the_best(client: httpx2.AsyncClient) -> None:
    answer = await mapped(client, point=[1, 1], size="128", fit="letterbox")

    geometry, best = answer.json()["geometry"], answer.json()["best"]
    middle = (best["row"] + 0.5) * geometry["patch_px"]
    assert geometry["content"][1] <= middle < geometry["content"][3]
    assert best["box"][1] >= 0


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "point"),
        ({"point": [1, 1], "box": [0, 0, 9, 9]}, "point"),
        ({"point": [448, 10]}, "point"),
        ({"point": [-1, 10]}, "point[0]"),
        ({"point": [1]}, "point"),
        ({"box": [10, 10, 10, 20]}, "box"),
        ({"box": [0, 0, 449, 20]}, "box"),
        ({"point": [10, 10], "size": "64", "fit": "crop"}, "point"),
        ({"box": [0, 0, 20, 20], "size": "64", "fit": "crop"}, "box"),
        ({"point": [1, 1], "source": "cat"}, "source"),
        ({"point": [1, 1], "target": "cat"}, "target"),
        ({"point": [1, 1], "target": data_uri(photo(2)[:900])}, "target"),
        ({"point": [1, 1], "source": data_uri(photo(2)[:900])}, "source"),
        ({"point": [1, 1], "size": "17"}, "size"),
    ],
)
async def test_a_place_or_image_that_cannot_be_used_is_named(
    client: httpx2.AsyncClient, fields: dict[str, Any], field: str
) -> None:
    answer = await mapped(client, **fields)

    assert answer.status_code in {415, 422}, answer.text
    assert answer.json()["field"] == field


async def test_an_asset_that_is_not_there_is_not_found(
    client: httpx2.AsyncClient,
) -> None:
    answer = await mapped(client, target="0" * 32, point=[1, 1])

    assert answer.status_code == 404
