"""The unmodified `openai` client against a real server with the bundled model."""

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import psutil
import pytest

from odd_files import photo
from servers import Server, running
from stored import data_uri, uploaded

KEY = "an-openai-like-key"
MAX_INPUTS = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"DINOSERVE_API_KEYS": KEY, "DINOSERVE_MAX_INPUTS": str(MAX_INPUTS)}
    with running(tmp_path_factory.mktemp("openai"), **settings) as server:
        yield server


def connect(server: Server, key: str = KEY) -> openai.OpenAI:
    return openai.OpenAI(api_key=key, base_url=f"{server.url}/v1", max_retries=0)


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with connect(server) as client:
        yield client


def test_the_clients_default_gives_one_unit_vector(client: openai.OpenAI) -> None:
    answer = client.embeddings.create(model="default", input=data_uri(photo(1)))
    [item] = answer.data
    assert (item.index, answer.model) == (0, "bundled")
    assert np.linalg.norm(item.embedding) == pytest.approx(1, abs=1e-5)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens > 0


def test_a_list_gives_its_vectors_in_order(client: openai.OpenAI) -> None:
    images = [data_uri(photo(seed)) for seed in (1, 2, 3)]
    answer = client.embeddings.create(model="bundled", input=images)
    assert [item.index for item in answer.data] == [0, 1, 2]
    for image, item in zip(images, answer.data, strict=True):
        [alone] = client.embeddings.create(model="bundled", input=image).data
        assert alone.embedding == pytest.approx(item.embedding, abs=1e-5)


def test_float_and_base64_are_the_same_numbers(
    server: Server, client: openai.OpenAI
) -> None:
    key = upload(server, 4)
    floats = client.embeddings.create(
        model="default", input=key, encoding_format="float"
    )
    coded = client.embeddings.create(
        model="default", input=key, encoding_format="base64"
    )
    text: Any = coded.data[0].embedding
    raw = np.frombuffer(base64.b64decode(text), "<f4")
    given = np.asarray(floats.data[0].embedding, np.float32)
    assert np.array_equal(raw, given)


def test_an_asset_id_gives_the_stored_vector_for_no_tokens(
    server: Server, client: openai.OpenAI
) -> None:
    key = upload(server, 5)
    fresh = client.embeddings.create(model="default", input=data_uri(photo(5)))
    stored = client.embeddings.create(model="default", input=[key])
    assert stored.usage.total_tokens == 0
    near = pytest.approx(fresh.data[0].embedding, abs=1e-5)
    assert stored.data[0].embedding == near


def test_the_models_own_dimension_may_be_asked_for(client: openai.OpenAI) -> None:
    image = data_uri(photo(6))
    first = client.embeddings.create(model="default", input=image)
    own = len(first.data[0].embedding)
    second = client.embeddings.create(model="default", input=image, dimensions=own)
    assert len(second.data[0].embedding) == own


def test_another_dimension_is_refused(client: openai.OpenAI) -> None:
    error = refused(client, input=data_uri(photo(6)), dimensions=7)
    assert (error.code, error.param) == ("invalid-input", "dimensions")


def test_a_broken_data_uri_is_named_by_its_place(client: openai.OpenAI) -> None:
    inputs = [data_uri(photo(6)), "data:image/jpeg;base64,@@@"]
    error = refused(client, input=inputs)
    assert (error.code, error.param) == ("invalid-input", "input[1]")


def test_a_damaged_image_is_named_by_its_place(client: openai.OpenAI) -> None:
    inputs = [data_uri(photo(6)), data_uri(photo(7)[:500])]
    error = refused(client, input=inputs)
    assert (error.code, error.param) == ("image-damaged", "input[1]")


def test_text_is_refused_with_the_reason(client: openai.OpenAI) -> None:
    error = refused(client, input="a dog on a beach")
    assert error.param == "input[0]"
    assert "text is not embedded" in error.message


def test_too_many_inputs_are_refused_with_the_limit(client: openai.OpenAI) -> None:
    error = refused(client, input=["x"] * (MAX_INPUTS + 1))
    assert error.param == "input"
    assert str(MAX_INPUTS) in error.message


def test_a_model_that_is_not_loaded_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="dall-e", input=data_uri(photo(6)))
    assert (caught.value.code, caught.value.param) == ("model-not-found", "model")
    assert caught.value.type == "invalid_request_error"


def test_an_asset_that_is_not_there_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="default", input="0" * 32)
    assert caught.value.code == "asset-not-found"


def test_a_wrong_key_is_an_authentication_error(server: Server) -> None:
    with (
        connect(server, "another-key") as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.embeddings.create(model="default", input=data_uri(photo(6)))
    assert caught.value.code == "unauthorized"


def test_the_loaded_model_is_listed_and_can_be_asked_for(
    client: openai.OpenAI,
) -> None:
    [model] = client.models.list().data
    assert (model.id, model.object) == ("bundled", "model")
    assert client.models.retrieve("bundled") == model


def test_the_server_reaches_out_to_nobody(
    server: Server, client: openai.OpenAI
) -> None:
    client.embeddings.create(model="default", input=data_uri(photo(8)))
    connections = psutil.Process(server.pid).net_connections("inet")
    assert {one.laddr for one in connections} == {("127.0.0.1", server.port)}


def upload(server: Server, seed: int) -> str:
    with server.client(authorization=f"Bearer {KEY}") as plain:
        return uploaded(plain, photo(seed))


def refused(client: openai.OpenAI, **request: Any) -> openai.UnprocessableEntityError:
    """Return the error of a request that must be answered with 422."""
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.embeddings.create(model="default", **request)
    return caught.value
