"""What each kind of job takes, whether or not a server offers it yet."""

from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError

from dinoserve.web.job_parameters import PARAMETERS
from dinoserve.web.job_requests import JobBody
from dinoserve.web.parameter_fields import MAX_MANIFEST_BYTES

ID = "0" * 32


def taken(kind: str, *, beside: str | None = None, **parameters: Any) -> Any:
    """The parameters as the job would have them."""
    body = JobBody(kind=kind, collection=beside, parameters=parameters)
    return body.to_domain(PARAMETERS).parameters


def faults(kind: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """Where the parameters are wrong."""
    with pytest.raises(RequestValidationError) as caught:
        taken(kind, **parameters)
    return [fault["loc"] for fault in caught.value.errors()]


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("embed", {}),
        ("embed", {"assets": [ID]}),
        ("erase", {"subject": "somebody", "tags": ["a"]}),
        ("reembed", {"collection": "a", "remove_old": False}),
        ("ingest", {"folder": "/pictures", "tags": ["a"], "metadata": {"a": 1}}),
        ("ingest", {"manifest": "url\nhttps://example.com/a.jpg\n"}),
        ("similarity", {"collection": "a", "mode": "matrix", "min_score": -1}),
        ("export", {"format": "npz", "vectors": False}),
        ("compact", {"remove_recipes": ["0" * 16], "older_than_days": 30}),
    ],
)
def test_what_a_kind_takes_reaches_the_job(
    kind: str, parameters: dict[str, Any]
) -> None:
    assert taken(kind, **parameters).items() >= parameters.items()


@pytest.mark.parametrize(
    ("kind", "parameters", "field"),
    [
        ("erase", {"assets": [ID], "tags": ["a"]}, None),
        ("erase", {"tags": []}, "tags"),
        ("reembed", {"remove_old": "no"}, "remove_old"),
        ("ingest", {}, None),
        ("ingest", {"folder": "/a", "prefix": "b"}, None),
        ("ingest", {"folder": "/a", "embed": 1}, "embed"),
        ("ingest", {"folder": "/a\n"}, "folder"),
        ("ingest", {"manifest": ""}, "manifest"),
        ("ingest", {"manifest": "é" * (MAX_MANIFEST_BYTES // 2 + 1)}, "manifest"),
        ("ingest", {"folder": "/a", "metadata": {"a": 2**60}}, "metadata"),
        ("similarity", {"mode": "matrix"}, None),
        ("similarity", {"collection": "a", "assets": [ID]}, None),
        ("similarity", {"collection": "a", "k": 1001}, "k"),
        ("similarity", {"collection": "a", "k": 0}, "k"),
        ("similarity", {"collection": "a", "k": "5"}, "k"),
        ("similarity", {"collection": "a", "min_score": 1.1}, "min_score"),
        ("similarity", {"collection": "a", "mode": "all"}, "mode"),
        ("export", {"format": "csv"}, "format"),
        ("compact", {"older_than_days": 0}, "older_than_days"),
        ("compact", {"everything": True}, "everything"),
    ],
)
def test_what_a_kind_does_not_take_is_named(
    kind: str, parameters: dict[str, Any], field: str | None
) -> None:
    place = ("body", "parameters", *([field] if field else []))
    assert faults(kind, **parameters) == [place]


def test_every_wrong_parameter_is_named() -> None:
    wrong = {"collection": "a", "k": 0, "min_score": 2, "mod": "matrix"}
    names = {place[-1] for place in faults("similarity", **wrong)}
    assert names == {"k", "min_score", "mod"}


@pytest.mark.parametrize("kind", ["embed", "reembed", "ingest", "export"])
def test_a_collection_beside_the_kind_is_the_one_that_is_meant(kind: str) -> None:
    more = {"prefix": "a/"} if kind == "ingest" else {}
    assert taken(kind, beside="shop", **more)["collection"] == "shop"


def test_a_collection_beside_named_assets_only_says_whose_job_it_is() -> None:
    body = JobBody(kind="erase", collection="shop", parameters={"assets": [ID]})
    asked = body.to_domain(PARAMETERS)
    assert (asked.collection, asked.parameters) == ("shop", {"assets": [ID]})


def test_an_asset_that_is_named_twice_is_meant_once() -> None:
    assert taken("embed", assets=[ID, ID]) == {"assets": [ID]}


def test_a_default_that_is_told_makes_no_other_job() -> None:
    assert taken("export", vectors=True, tags=None) == taken("export")
