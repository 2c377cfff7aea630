"""How features are asked for: numbers as sizes, and what goes into the query."""

import base64
from collections.abc import AsyncGenerator

import httpx2
import pytest

from in_process import connect_in_process
from odd_files import photo

JPEG = {"content-type": "image/jpeg"}
DATA_URI = "data:image/jpeg;base64," + base64.b64encode(photo(1)).decode()


@pytest.fixture
async def client() -> AsyncGenerator[httpx2.AsyncClient]:
    settings = {"model": "bundled", "engine": "torch", "precision": "fp32"}
    async with connect_in_process(**settings) as client:
        yield client


async def test_a_size_may_be_a_number(client: httpx2.AsyncClient) -> None:
    body = {"input": DATA_URI, "outputs": ["cls"]}

    as_number = await client.post("/v1/features", json={**body, "size": 64})
    as_text = await client.post("/v1/features", json={**body, "size": "64"})

    assert as_number.status_code == 200
    assert as_number.json() == as_text.json()


@pytest.mark.parametrize("size", [0, -64, 64.0, True, 100_000, 10**30])
async def test_a_number_that_is_no_size_is_refused(
    client: httpx2.AsyncClient, size: float
) -> None:
    body = {"input": DATA_URI, "size": size}

    answer = await client.post("/v1/features", json=body)

    assert (answer.status_code, answer.json()["field"]) == (422, "size")


async def test_options_in_the_query_are_refused_beside_a_form_and_json(
    client: httpx2.AsyncClient,
) -> None:
    by_form = await client.post("/v1/features?size=64", files={"file": photo(1)})
    body = {"input": DATA_URI}
    by_json = await client.post("/v1/features/pca?format=png", json=body)

    assert (by_form.status_code, by_form.json()["field"]) == (422, "size")
    assert (by_json.status_code, by_json.json()["field"]) == (422, "format")


async def test_an_option_given_twice_in_the_query_is_refused(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.post(
        "/v1/features?outputs=cls&outputs=mean", content=photo(1), headers=JPEG
    )

    assert (answer.status_code, answer.json()["field"]) == (422, "outputs")


async def test_input_is_refused_beside_the_bytes_of_an_image(
    client: httpx2.AsyncClient,
) -> None:
    by_form = await client.post(
        "/v1/features", files={"file": photo(1)}, data={"input": "0" * 32}
    )
    by_bytes = await client.post("/v1/features?input=x", content=photo(1), headers=JPEG)

    assert (by_form.status_code, by_form.json()["field"]) == (422, "input")
    assert (by_bytes.status_code, by_bytes.json()["field"]) == (422, "input")


async def test_a_program_can_read_which_options_go_into_the_query(
    client: httpx2.AsyncClient,
) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]

    told = paths["/v1/features"]["post"]["parameters"]

    named = {one["name"] for one in told if one["in"] == "query"}
    assert named == {"model", "size", "fit", "outputs", "format", "dtype"}
