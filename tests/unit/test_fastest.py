"""An engine serves only if it proves equal, and the reference always remains."""

import numpy as np
import pytest
from numpy.typing import NDArray

from dinoserve.engine import fastest, openvino_forward
from dinoserve.engine.fastest import Wanted, lowest_cosine, open_forward
from dinoserve.engine.model_forward import ModelForward
from dinoserve.engine.openvino_forward import OpenVinoForward
from dinoserve.engine.preprocess import from_config
from dinoserve.engine.weights import LoadedModel, load_model
from dinoserve.errors import StartUpError
from dinoserve.telemetry import Metrics

Tokens = NDArray[np.float32]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("bundled")


def opened(
    model: LoadedModel,
    metrics: Metrics | None = None,
    *,
    engine: str = "auto",
    precision: str = "auto",
) -> ModelForward:
    how = from_config("hf", model.preprocessor, model.stride_px)
    wanted = Wanted(device="cpu", engine=engine, precision=precision)
    return open_forward(model, how, wanted, metrics or Metrics())


def served(forward: ModelForward) -> tuple[str, str]:
    return forward.card.engine, forward.card.precision


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_processors_own_precision_is_taken(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    able = ("fp32", precision)
    monkeypatch.setattr(fastest, "precisions", lambda: able)
    monkeypatch.setattr(openvino_forward, "precisions", lambda: able)

    forward = opened(model)

    assert served(forward) == ("openvino", precision)
    assert 0.999 <= float(str(forward.card.details["parity_cosine"])) <= 1.0


def test_the_reference_serves_where_it_is_asked_for(model: LoadedModel) -> None:
    assert served(opened(model, engine="torch", precision="fp32")) == ("torch", "fp32")


def test_pytorch_serves_in_half_precision_where_that_is_asked_for(
    model: LoadedModel,
) -> None:
    forward = opened(model, engine="torch", precision="bf16")

    assert served(forward) == ("torch", "bf16")


def broken(_self: object, _pixels: Tokens) -> Tokens:
    raise RuntimeError("a kernel is missing")


def infinite(_self: object, pixels: Tokens) -> Tokens:
    return np.full((len(pixels), 201, 192), np.inf, np.float32)


def wrong(_self: object, pixels: Tokens) -> Tokens:
    return np.ones((len(pixels), 201, 192), np.float32)


@pytest.mark.parametrize("fault", [broken, infinite, wrong])
def test_an_engine_that_does_not_prove_equal_is_passed_over(
    model: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: object,
) -> None:
    monkeypatch.setattr(OpenVinoForward, "all_tokens", fault)
    metrics = Metrics()

    forward = opened(model, metrics, engine="openvino", precision="fp32")

    assert served(forward) == ("torch", "fp32")
    assert "openvino in fp32 does not serve" in caplog.text
    counted = 'fallbacks_total{engine="openvino",precision="fp32"} 1.0'
    assert counted in metrics.render().decode()


def test_an_engine_that_cannot_be_had_stops_the_start(model: LoadedModel) -> None:
    how = from_config("hf", model.preprocessor, model.stride_px)
    wanted = Wanted(device="cuda")

    with pytest.raises(StartUpError, match="cuda"):
        open_forward(model, how, wanted, Metrics())


def test_the_lowest_cosine_is_that_of_the_worst_token() -> None:
    reference = np.eye(3, dtype=np.float32)[None]
    other = reference.copy()
    other[0, 1] = [0, 0.6, 0.8]

    assert lowest_cosine(other, reference) == pytest.approx(0.6)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_a_token_without_direction_has_no_cosine(value: float) -> None:
    reference = np.ones((1, 2, 3), np.float32)
    other = reference.copy()
    other[0, 1] = value

    assert np.isnan(lowest_cosine(other, reference))
