"""An engine serves only if it proves equal, and the reference always remains."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from dinoserve.domain.framing import Framing
from dinoserve.engine import fastest, openvino_forward
from dinoserve.engine.cuda_forward import CudaForward
from dinoserve.engine.fastest import Floor, Wanted, lowest_cosine, open_forward
from dinoserve.engine.forward import Prepared
from dinoserve.engine.images import DecodedImage
from dinoserve.engine.model_forward import ModelForward
from dinoserve.engine.openvino_forward import OpenVinoForward
from dinoserve.engine.preprocess import Preprocessing, from_config
from dinoserve.engine.torch_forward import TorchForward
from dinoserve.engine.weights import LoadedModel, load_model
from dinoserve.errors import StartUpError
from dinoserve.telemetry import Metrics
from models import make_vit

Tokens = NDArray[np.float32]
Fault: TypeAlias = Callable[[Any, Tokens], Tokens]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("bundled")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A model whose proof takes a moment, with as many tokens as the bundled one."""
    return load_model(str(make_vit(tmp_path_factory.mktemp("small"))))


@pytest.fixture(scope="module")
def best(model: LoadedModel) -> ModelForward:
    """What serves where nothing is asked for; it is found without int8."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(fastest, "open_quantised")
        return opened(model)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def in_int8(model: LoadedModel, cache: Path) -> ModelForward:
    return opened(model, precision="int8", cache=cache)


def how(model: LoadedModel) -> Preprocessing:
    return from_config("hf", model.preprocessor, model.stride_px)


def opened(
    model: LoadedModel,
    metrics: Metrics | None = None,
    *,
    engine: str = "auto",
    precision: str = "auto",
    cache: Path | None = None,
) -> ModelForward:
    wanted = Wanted(device="cpu", engine=engine, precision=precision, cache=cache)
    return open_forward(model, how(model), wanted, metrics or Metrics())


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
    for name in ("parity_cosine", "parity_patch_cosine"):
        assert 0.999 <= float(str(forward.card.details[name])) <= 1.0


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
    return np.full((len(pixels), 201, 64), np.inf, np.float32)


def wrong(_self: object, pixels: Tokens) -> Tokens:
    return np.ones((len(pixels), 201, 64), np.float32)


def not_a_number(_self: object, pixels: Tokens) -> Tokens:
    return np.full((len(pixels), 201, 64), np.nan, np.float32)


@pytest.mark.parametrize("fault", [broken, infinite, wrong])
def test_an_engine_that_does_not_prove_equal_is_passed_over(
    small: LoadedModel,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    fault: object,
) -> None:
    monkeypatch.setattr(OpenVinoForward, "all_tokens", fault)
    metrics = Metrics()

    forward = opened(small, metrics, engine="openvino", precision="fp32")

    assert served(forward) == ("torch", "fp32")
    assert "openvino in fp32 does not serve" in caplog.text
    counted = 'fallbacks_total{engine="openvino",precision="fp32"} 1.0'
    assert counted in metrics.render().decode()


def right_but(fault: Fault, is_bad: Callable[[Tokens], bool]) -> Fault:
    right = OpenVinoForward.all_tokens

    def tokens(self: OpenVinoForward, pixels: Tokens) -> Tokens:
        return fault(self, pixels) if is_bad(pixels) else right(self, pixels)

    return tokens


BAD_INPUTS: dict[str, Callable[[Tokens], bool]] = {
    "one alone": lambda pixels: len(pixels) == 1,
    "several together": lambda pixels: len(pixels) > 1,
    "another size than that of embeddings": lambda pixels: pixels.shape[2] != 224,
}


@pytest.mark.parametrize("bad", BAD_INPUTS)
def test_an_engine_that_fails_only_for_some_inputs_is_passed_over(
    small: LoadedModel, monkeypatch: pytest.MonkeyPatch, bad: str
) -> None:
    fault = right_but(not_a_number, BAD_INPUTS[bad])
    monkeypatch.setattr(OpenVinoForward, "all_tokens", fault)

    forward = opened(small, engine="openvino", precision="fp32")

    assert served(forward) == ("torch", "fp32")


def test_pictures_of_different_shapes_prove_an_engine_too(small: LoadedModel) -> None:
    by_aspect = how(small).with_framing(Framing("short:64", "round"))
    wanted = Wanted("cpu", "openvino", "fp32")

    forward = open_forward(small, by_aspect, wanted, Metrics())

    assert served(forward) == ("openvino", "fp32")


class TestInt8:
    """int8 serves where it is asked for and near enough, under a recipe of its own."""

    def test_it_serves_and_tells_how_near_it_is(self, in_int8: ModelForward) -> None:
        details = in_int8.card.details

        assert served(in_int8) == ("openvino", "int8")
        assert 0.99 <= float(str(details["parity_cosine"])) < 0.9999
        assert 0.97 <= float(str(details["parity_patch_cosine"])) < 0.9999
        assert (details["calibration_pictures"], details["held_out_pictures"]) == (3, 1)

    def test_its_vectors_never_meet_those_of_float32(
        self, model: LoadedModel, in_int8: ModelForward
    ) -> None:
        exact = opened(model, engine="torch", precision="fp32").card.recipe
        card = in_int8.card

        assert card.recipe.id != exact.id
        assert card.details["original_weights_sha256"] == exact.weights_sha256

    @pytest.mark.parametrize("floor", [Floor(0.99999, 0.0), Floor(0.0, 0.99999)])
    def test_one_that_is_too_far_off_is_passed_over_for_the_next_best(
        self,
        model: LoadedModel,
        best: ModelForward,
        cache: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        floor: Floor,
    ) -> None:
        monkeypatch.setattr(fastest, "NEAR", floor)
        metrics = Metrics()

        forward = opened(model, metrics, precision="int8", cache=cache)

        assert served(forward) == served(best)
        assert forward.card.recipe.weights_sha256 == model.weights_sha256
        assert "openvino in int8 does not serve: " in caplog.text
        counted = 'fallbacks_total{engine="openvino",precision="int8"} 1.0'
        assert counted in metrics.render().decode()

    def test_it_is_never_taken_unasked(self, best: ModelForward) -> None:
        assert served(best) != ("openvino", "int8")

    def test_pytorch_has_none(self, model: LoadedModel) -> None:
        with pytest.raises(StartUpError, match="DINOSERVE_ENGINE=auto"):
            opened(model, engine="torch", precision="int8")

    def test_a_gpu_has_none(
        self, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        on_gpu = replace(TorchForward(model, how(model), "cpu").card, device="cuda")
        monkeypatch.setattr(TorchForward, "card", on_gpu)

        with pytest.raises(StartUpError, match="DINOSERVE_DEVICE=cpu"):
            opened(model, precision="int8")

    def test_a_folder_that_is_not_there_stops_the_start(
        self, model: LoadedModel, tmp_path: Path
    ) -> None:
        wanted = Wanted("cpu", precision="int8", calibration=tmp_path / "missing")

        with pytest.raises(StartUpError, match="DINOSERVE_CALIBRATION"):
            open_forward(model, how(model), wanted, Metrics())


class TestOnAGpu:
    """What is chosen there; here the GPU is the CPU by another name."""

    @pytest.fixture(autouse=True)
    def gpu(self, model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
        on_gpu = replace(TorchForward(model, how(model), "cpu").card, device="cuda")
        monkeypatch.setattr(TorchForward, "card", on_gpu)

    @pytest.mark.parametrize("engine", ["auto", "torch"])
    def test_the_engine_made_for_it_serves(
        self, model: LoadedModel, engine: str
    ) -> None:
        assert isinstance(opened(model, engine=engine), CudaForward)

    def test_one_that_resizes_otherwise_does_not_serve(
        self, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def upside_down(
            forward: CudaForward, image: DecodedImage, framing: Framing | None = None
        ) -> Prepared:
            return Prepared(image.rgb[::-1].copy(), forward.lay_out(image, framing))

        monkeypatch.setattr(CudaForward, "prepare", upside_down)

        assert isinstance(opened(model, precision="bf16"), TorchForward)


def test_an_engine_that_cannot_be_had_stops_the_start(model: LoadedModel) -> None:
    wanted = Wanted(device="cuda")

    with pytest.raises(StartUpError, match="cuda"):
        open_forward(model, how(model), wanted, Metrics())


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
