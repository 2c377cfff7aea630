"""Embeddings, models, health, keys, limits: what every route shares."""

import base64
import hashlib
from collections.abc import AsyncGenerator
from typing import Any

import httpx2
import numpy as np
import pytest
from numpy.typing import NDArray

from in_process import Connect, make_app
from odd_files import photo

KEY = "a-long-random-key"
FILE_PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'


def data_uri(data: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


def vectors(answer: httpx2.Response) -> NDArray[np.float64]:
    return np.array([item["embedding"] for item in answer.json()["data"]])


async def test_float_and_base64_carry_the_same_unit_vector(
    client: httpx2.AsyncClient,
) -> None:
    body = {"input": data_uri(photo(1))}
    floats = await client.post("/v1/embeddings", json=body)
    packed = await client.post(
        "/v1/embeddings", json=body | {"encoding_format": "base64"}
    )

    vector = np.array(floats.json()["data"][0]["embedding"], np.float32)
    raw = base64.b64decode(packed.json()["data"][0]["embedding"])
    assert np.array_equal(np.frombuffer(raw, "<f4"), vector)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)


async def test_both_paths_of_openai_clients_answer(client: httpx2.AsyncClient) -> None:
    body = {"input": [data_uri(photo(1)), {"image": data_uri(photo(2))}]}

    long = await client.post("/v1/embeddings", json=body)
    short = await client.post("/embeddings", json=body)

    assert long.json()["data"] == short.json()["data"]
    assert [item["index"] for item in long.json()["data"]] == [0, 1]


async def test_files_and_bytes_give_the_vectors_of_data_uris(
    client: httpx2.AsyncClient,
) -> None:
    images = [photo(1), photo(2)]
    body = {"input": [data_uri(image) for image in images]}
    told = vectors(await client.post("/v1/embeddings", json=body))

    files = [("file", image) for image in images]
    form = await client.post("/v1/embeddings", files=files)
    kind = {"content-type": "image/jpeg"}
    raw = await client.post("/v1/embeddings", content=images[1], headers=kind)

    np.testing.assert_allclose(vectors(form), told, atol=1e-6)
    np.testing.assert_allclose(vectors(raw), told[1:], atol=1e-6)


async def test_options_of_raw_bytes_stand_in_the_query(
    client: httpx2.AsyncClient,
) -> None:
    path = "/v1/embeddings?encoding_format=base64"
    kind = {"content-type": "application/octet-stream"}

    answer = await client.post(path, content=photo(1), headers=kind)

    assert isinstance(answer.json()["data"][0]["embedding"], str)


async def test_a_bad_file_of_a_form_is_named(client: httpx2.AsyncClient) -> None:
    files = [("file", photo(1)), ("file", photo(1)[:500])]

    answer = await client.post("/v1/embeddings", files=files)

    assert answer.json()["error"]["code"] == "image-damaged"
    assert answer.json()["error"]["param"] == "input[1]"


@pytest.mark.parametrize(
    ("kwargs", "param"),
    [
        ({"files": {"other": photo(1)}}, "file"),
        ({"files": [("file", photo(1))] * 3}, "body"),
        ({"files": {"file": photo(1)}, "data": {"dimensions": "x"}}, "dimensions"),
        ({"files": {"file": photo(1)}, "data": {"model": ["a", "b"]}}, "model"),
        ({"content": b"", "headers": {"content-type": "image/png"}}, "input[0]"),
        ({"content": b"x", "headers": {"content-type": "text/plain"}}, "body"),
        ({"content": b""}, "body"),
    ],
)
async def test_a_body_of_another_kind_is_told_what_is_wrong(
    connect: Connect, kwargs: dict[str, Any], param: str
) -> None:
    async with connect(max_inputs=2) as client:
        answer = await client.post("/v1/embeddings", **kwargs)

    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["param"] == param


async def test_stored_vectors_cost_no_tokens(client: httpx2.AsyncClient) -> None:
    asset = await client.post("/v1/assets", files={"file": photo(1)})

    stored = await client.post("/v1/embeddings", json={"input": asset.json()["id"]})
    fresh = await client.post("/v1/embeddings", json={"input": data_uri(photo(1))})

    assert stored.json()["usage"]["total_tokens"] == 0
    assert fresh.json()["usage"]["total_tokens"] > 0
    assert stored.json()["data"] == fresh.json()["data"]


@pytest.mark.parametrize(
    ("change", "status", "code", "param"),
    [
        ({"input": "a sentence"}, 422, "invalid-input", "input[0]"),
        ({"input": [data_uri(b"")]}, 422, "image-empty", "input[0]"),
        ({"input": [data_uri(photo(1)), data_uri(photo(1)[:99])]}, 422,
         "image-damaged", "input[1]"),
        ({"input": "data:text/html;base64,AAAA"}, 415, "image-unsupported", "input[0]"),
        ({"input": "data:image/png;base64,*"}, 422, "invalid-input", "input[0]"),
        ({"input": "data:image/png,AAAA"}, 422, "invalid-input", "input[0]"),
        ({"input": "https://example.com/a"}, 422, "fetch-disabled", "input[0]"),
        ({"input": "0" * 32}, 404, "asset-not-found", None),
        ({"input": []}, 422, "invalid-input", "input"),
        ({"input": 3}, 422, "invalid-input", "input"),
        ({"model": "text-embedding-3-small"}, 404, "model-not-found", "model"),
        ({"dimensions": 8}, 422, "invalid-input", "dimensions"),
        ({"encoding_format": "hex"}, 422, "invalid-input", "encoding_format"),
    ],
)  # fmt: skip
async def test_embedding_errors_have_openais_shape(
    client: httpx2.AsyncClient,
    change: dict[str, Any],
    status: int,
    code: str,
    param: str | None,
) -> None:
    body = {"input": data_uri(photo(1))} | change

    answer = await client.post("/v1/embeddings", json=body)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["message"]
    if param:
        assert error["param"] == param


async def test_an_empty_input_is_told_in_plain_words(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.post("/v1/embeddings", json={"input": []})

    assert answer.json()["error"]["message"] == "Give at least one image."
    assert answer.json()["error"]["param"] == "input"


async def test_too_many_inputs_are_refused_with_the_limit(connect: Connect) -> None:
    async with connect(max_inputs=2) as client:
        answer = await client.post("/v1/embeddings", json={"input": ["a"] * 3})

    assert answer.status_code == 422
    assert "DINOSERVE_MAX_INPUTS" in answer.json()["error"]["message"]


async def test_more_images_than_the_engine_admits_are_refused_at_once(
    connect: Connect,
) -> None:
    async with connect(max_waiting_images=1) as client:
        images = [data_uri(photo(1)), data_uri(photo(2))]
        answer = await client.post("/v1/embeddings", json={"input": images})

    assert answer.status_code in {422, 429}


async def test_models_tell_the_recipe_of_every_vector(
    client: httpx2.AsyncClient,
) -> None:
    await client.post("/v1/assets", files={"file": photo(1)})

    answer = (await client.get("/v1/models")).json()

    model, [stored] = answer["data"][0], answer["recipes"]
    assert model["object"] == "model"
    assert model["recipe"]["preprocessing"] == "stub-32x32-v1"
    assert (stored["id"], stored["embeddings"]) == (model["recipe"]["id"], 1)
    assert (await client.get("/v1/models/default")).json()["id"] == model["id"]
    assert (await client.get("/v1/models/none")).status_code == 404


async def test_an_idle_queue_is_shown_with_its_capacity(connect: Connect) -> None:
    async with connect(max_waiting_images=7) as client:
        model = (await client.get("/v1/models/default")).json()

    expected = {"waiting": 0, "capacity": 7, "bulk": 0, "oldest_s": 0}
    assert model["queue"] == expected


async def test_health_names_every_port(client: httpx2.AsyncClient) -> None:
    ready = (await client.get("/readyz")).json()

    assert (await client.get("/livez")).json()["status"] == "ok"
    assert ready["ready"] is True
    assert {port["name"] for port in ready["ports"]} == {
        "embedder",
        "documents",
        "objects",
        "index",
        "queue",
    }


async def test_metrics_count_by_route_template(client: httpx2.AsyncClient) -> None:
    asset = (await client.post("/v1/assets", files={"file": photo(1)})).json()
    await client.get(f"/v1/assets/{asset['id']}")
    await client.get("/no/such/route")

    text = (await client.get("/metrics")).text

    assert 'route="/v1/assets/{asset_id}",status="200"} 1.0' in text
    assert 'route="unmatched",status="404"} 1.0' in text
    assert asset["id"] not in text
    for stage in ("decode", "wait", "forward", "store"):
        assert f'dinoserve_stage_seconds_count{{stage="{stage}"}}' in text
    assert "dinoserve_batch_images_count" in text


async def test_a_request_keeps_its_own_id_and_gets_one_if_it_has_none(
    client: httpx2.AsyncClient,
) -> None:
    own = await client.get("/livez", headers={"x-request-id": "render-farm-00017"})
    bad = await client.get("/livez", headers={"x-request-id": "<script>"})

    assert own.headers["x-request-id"] == "render-farm-00017"
    assert len(bad.headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "route-not-found"),
        ("PUT", "/v1/search", 405, "method-not-allowed"),
    ],
)
async def test_wrong_turns_are_problems_too(
    client: httpx2.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await client.request(method, path)

    assert answer.status_code == status
    assert answer.json()["type"] == f"/problems/{code}"


async def test_a_wrong_method_is_told_every_right_one(
    client: httpx2.AsyncClient,
) -> None:
    answer = await client.put("/v1/assets")

    assert answer.headers["allow"] == "GET, POST"
    assert "GET, POST" in answer.json()["detail"]


async def test_a_body_that_is_no_json_is_told_so(client: httpx2.AsyncClient) -> None:
    headers = {"content-type": "application/json"}

    answer = await client.post("/v1/search", content=b'{"query": ', headers=headers)

    assert (answer.status_code, answer.json()["field"]) == (422, "body")


async def test_a_bug_is_answered_with_its_request_id_and_nothing_else() -> None:
    app = make_app()

    @app.get("/broken")
    def broken() -> None:
        raise RuntimeError("a secret of the inside")

    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://localhost"
    ) as client:
        answer = await client.get("/broken")

    assert answer.status_code == 500
    assert answer.json()["type"] == "/problems/internal"
    assert answer.json()["instance"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text


async def test_an_invented_method_makes_no_series(client: httpx2.AsyncClient) -> None:
    await client.request("INVENTED", "/livez")

    text = (await client.get("/metrics")).text

    assert "INVENTED" not in text
    assert 'method="other"' in text


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_probes_may_ask_for_the_head_alone(
    client: httpx2.AsyncClient, path: str
) -> None:
    assert (await client.head(path)).status_code == 200


class TestWithoutKeys:
    """Only this machine is served, whatever a browser on it is made to send."""

    @pytest.mark.parametrize(
        "headers",
        [
            {"host": "evil.example:8000"},
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"host": "127.0.0.1.evil.example"},
            {"host": "[::1"},
        ],
    )
    async def test_a_name_or_page_from_elsewhere_is_refused(
        self, client: httpx2.AsyncClient, headers: dict[str, str]
    ) -> None:
        answer = await client.get("/v1/assets", headers=headers)

        assert answer.status_code == 403
        assert answer.json()["type"] == "/problems/foreign-caller"

    @pytest.mark.parametrize(
        "headers",
        [
            {"host": "localhost:8000"},
            {"host": "[::1]:8000"},
            {"host": "127.0.0.1", "origin": "http://localhost:3000"},
        ],
    )
    async def test_this_machine_is_served_under_its_own_names(
        self, client: httpx2.AsyncClient, headers: dict[str, str]
    ) -> None:
        assert (await client.get("/v1/assets", headers=headers)).status_code == 200

    async def test_with_a_key_any_name_will_do(self, connect: Connect) -> None:
        headers = {"host": "features.example", "x-api-key": KEY}
        async with connect(api_keys=KEY) as client:
            assert (await client.get("/v1/assets", headers=headers)).status_code == 200


class TestKeys:
    """With keys configured, everything but health asks for one."""

    @pytest.mark.parametrize(
        "kept", [KEY, f"sha256:{hashlib.sha256(KEY.encode()).hexdigest()}"]
    )
    @pytest.mark.parametrize(
        "headers",
        [
            {"authorization": f"Bearer {KEY}"},
            {"x-api-key": KEY},
            {"x-api-key": KEY, "authorization": "Bearer stale"},
        ],
    )
    async def test_a_valid_key_passes(
        self, connect: Connect, kept: str, headers: dict[str, str]
    ) -> None:
        async with connect(api_keys=f"another,{kept}") as client:
            answer = await client.get("/v1/assets", headers=headers)

        assert answer.status_code == 200

    @pytest.mark.parametrize(
        "path",
        ["/v1/assets", "/v1/models", "/metrics", "/docs", "/openapi.json", "/nothing"],
    )
    @pytest.mark.parametrize(
        "headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": KEY}]
    )
    async def test_without_a_valid_key_nothing_is_shown(
        self, connect: Connect, path: str, headers: dict[str, str]
    ) -> None:
        async with connect(api_keys=KEY) as client:
            answer = await client.get(path, headers=headers)

        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "unauthorized" in answer.text

    @pytest.mark.parametrize("path", ["/livez", "/readyz"])
    async def test_health_asks_for_no_key(self, connect: Connect, path: str) -> None:
        async with connect(api_keys=KEY) as client:
            assert (await client.get(path)).status_code == 200


class TestBodyLimit:
    """Bodies are bounded, whether they tell their length or not."""

    async def test_a_declared_length_is_refused_before_it_is_read(
        self, connect: Connect
    ) -> None:
        async with connect(max_body_bytes=1000) as client:
            answer = await client.post("/v1/assets", files={"file": b"x" * 2000})

        assert answer.status_code == 413
        assert answer.json()["type"] == "/problems/body-too-large"
        assert answer.json()["limit"] == 1000

    async def test_all_bodies_together_are_bounded_too(self, connect: Connect) -> None:
        async with connect(max_held_bytes=1000) as client:
            answer = await client.post("/v1/assets", files={"file": b"x" * 2000})
            after = await client.post("/v1/search", json={"query": {}})

        assert (answer.status_code, after.status_code) == (429, 422)
        assert "DINOSERVE_MAX_HELD_BYTES" in answer.json()["detail"]
        assert answer.headers["retry-after"] == "1"

    @pytest.mark.parametrize(
        ("path", "media_type", "beginning"),
        [
            ("/v1/assets", "application/json", b"{"),
            ("/v1/assets", "multipart/form-data; boundary=x", FILE_PART),
            ("/v1/embeddings", "application/json", b"{"),
            ("/v1/search", "application/json", b"{"),
        ],
    )
    async def test_an_endless_body_is_refused_while_it_arrives(
        self, connect: Connect, path: str, media_type: str, beginning: bytes
    ) -> None:
        async def endless() -> AsyncGenerator[bytes]:
            yield beginning
            for _ in range(100):
                yield b"x" * 100

        headers = {"content-type": media_type}
        async with connect(max_body_bytes=1000) as client:
            answer = await client.post(path, content=endless(), headers=headers)

        assert answer.status_code == 413
        assert "body-too-large" in answer.text
