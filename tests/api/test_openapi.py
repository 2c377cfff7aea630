"""The OpenAPI document tells the truth: fuzzed requests get only declared answers."""

# schemathesis leaves the type of its cases open
# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false
# pyright: reportMissingTypeArgument=false, reportUnknownParameterType=false
# pyright: reportUntypedFunctionDecorator=false

from collections.abc import Generator

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from in_process import make_app
from odd_files import photo
from servers import running

IMAGE_ROUTES = {"/v1/embeddings", "/v1/features", "/v1/features/pca"}
fuzzed = schemathesis.openapi.from_dict(make_app().openapi())


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    folder = tmp_path_factory.mktemp("fuzzed")
    with running(folder, DINOSERVE_MODEL="stub", DINOSERVE_LOG_LEVEL="error") as server:
        yield server.url


@pytest.fixture(scope="module")
def asset_id(url: str) -> str:
    """An asset that is really there, so that not every answer is a 404."""
    answer = httpx2.post(f"{url}/v1/assets", files={"file": photo(1)})
    return answer.json()["id"]


@fuzzed.parametrize()
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,  # the same requests each time: what lands stays green
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
    ],
)
def test_no_request_gets_an_undeclared_answer(
    case: schemathesis.Case, url: str, asset_id: str
) -> None:
    if case.method != "DELETE" and len(str(case.path_parameters.get("asset_id"))) == 32:
        case.path_parameters["asset_id"] = asset_id
    if case.path in IMAGE_ROUTES and case.media_type != "image/*":
        case.query = {}  # else nearly all would be refused for it
    checks = [
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]
    # A deadline that is too short is answered with 504.
    if "x-request-timeout" not in case.headers:
        checks.append(not_a_server_error)
    # Forms and queries are text: a number or a list of one is not to be told apart.
    if case.media_type == "application/json" and not case.query:
        checks.append(negative_data_rejection)
    case.call_and_validate(base_url=url, checks=checks)
