"""OpenVINO gives the numbers of the reference, at any size, from a cache or not."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dinoserve.domain.framing import Framing
from dinoserve.engine import openvino_forward
from dinoserve.engine.fastest import lowest_cosine
from dinoserve.engine.openvino_forward import (
    OpenVinoForward,
    converted,
    precisions,
)
from dinoserve.engine.preprocess import from_config
from dinoserve.engine.torch_forward import TorchForward
from dinoserve.engine.weights import LoadedModel, load_model
from dinoserve.errors import StartUpError
from models import make_convnext, make_vit

SIZES = [(1, 224, 224), (3, 96, 160), (2, 320, 64)]


def pixels(count: int, height: int, width: int) -> NDArray[np.float32]:
    noise = np.random.default_rng([count, height, width])
    return noise.standard_normal((count, 3, height, width), dtype=np.float32)


def opened(
    model: LoadedModel, precision: str = "fp32", cache: Path | None = None
) -> OpenVinoForward:
    how = from_config("hf", model.preprocessor, model.stride_px)
    return OpenVinoForward(model, how, precision, converted(model, cache))


def reference(model: LoadedModel) -> TorchForward:
    how = from_config("hf", model.preprocessor, model.stride_px)
    return TorchForward(model, how, "cpu")


def must_not_run(*_: object) -> None:
    pytest.fail("it was made again")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(str(make_vit(tmp_path_factory.mktemp("small"))))


MODELS: dict[str, Callable[[Path], Path]] = {
    "vit": make_vit,
    "swiglu": partial(make_vit, swiglu=True),
    "7b-pattern": partial(make_vit, hidden=256, qv_bias=False, swiglu=True),
    "convnext": make_convnext,
}


@pytest.mark.parametrize("name", MODELS)
def test_every_token_equals_that_of_the_reference_at_any_size(
    tmp_path: Path, name: str
) -> None:
    model = load_model(str(MODELS[name](tmp_path / "model")))
    fast, slow = opened(model), reference(model)
    for size in SIZES:
        ours, theirs = fast.all_tokens(pixels(*size)), slow.all_tokens(pixels(*size))
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


@pytest.mark.parametrize("precision", sorted({*precisions()} - {"int8"}))
def test_every_precision_of_this_processor_keeps_the_direction(
    small: LoadedModel, precision: str
) -> None:
    ours = opened(small, precision).all_tokens(pixels(2, 224, 224))

    assert lowest_cosine(ours, reference(small).all_tokens(pixels(2, 224, 224))) > 0.999


def test_pictures_without_a_common_size_are_computed_too(small: LoadedModel) -> None:
    how = from_config("hf", small.preprocessor, small.stride_px)
    how = how.with_framing(Framing("short:96", "round"))
    fast = OpenVinoForward(small, how, "fp32", converted(small, None))

    for size in SIZES:
        ours, theirs = (
            forward.all_tokens(pixels(*size)) for forward in (fast, reference(small))
        )
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_the_card_tells_engine_and_precision(small: LoadedModel) -> None:
    card = opened(small).card

    assert (card.engine, card.device, card.precision) == ("openvino", "cpu", "fp32")
    assert card.recipe == reference(small).card.recipe


def test_a_precision_that_the_processor_lacks_is_told_with_those_it_has(
    small: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_forward, "precisions", lambda: ("fp32",))

    with pytest.raises(StartUpError, match="bf16; it does in fp32"):
        opened(small, "bf16")


class TestCache:
    """Converted models are kept, and a bad cache costs time, never an answer."""

    def test_a_kept_model_is_not_converted_again(
        self, small: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = opened(small, cache=tmp_path)(pixels(1, 224, 224))
        monkeypatch.setattr(openvino_forward, "_convert", must_not_run)

        second = opened(small, cache=tmp_path)(pixels(1, 224, 224))

        assert np.array_equal(first, second)

    def test_another_model_has_a_place_of_its_own(
        self, small: LoadedModel, tmp_path: Path
    ) -> None:
        other = load_model(str(make_vit(tmp_path / "other", seed=1)))
        opened(small, cache=tmp_path / "cache")

        ours = opened(other, cache=tmp_path / "cache")(pixels(1, 224, 224))

        np.testing.assert_allclose(
            ours, reference(other)(pixels(1, 224, 224)), atol=1e-5
        )

    @pytest.mark.parametrize("suffix", [".xml", ".bin"])
    def test_a_damaged_file_is_told_and_passed_over(
        self,
        small: LoadedModel,
        tmp_path: Path,
        suffix: str,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        opened(small, cache=tmp_path)
        [file] = tmp_path.glob(f"*{suffix}")
        file.write_bytes(file.read_bytes()[:100])

        ours = opened(small, cache=tmp_path)(pixels(1, 224, 224))

        np.testing.assert_allclose(
            ours, reference(small)(pixels(1, 224, 224)), atol=1e-5
        )
        assert "cannot be used" in caplog.text
        caplog.clear()
        opened(small, cache=tmp_path)
        assert caplog.text == ""

    def test_a_cache_that_cannot_be_written_is_told_and_done_without(
        self, small: LoadedModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "cache").write_text("a file in its place")

        opened(small, cache=tmp_path / "cache")

        assert "cannot be used" in caplog.text


def test_openvino_reports_nothing_to_anybody() -> None:
    code = (
        "import socket, sys\n"
        "def refuse(*_): raise SystemExit('a connection was opened')\n"
        "socket.socket.connect = refuse\n"
        "from dinoserve.engine.openvino_forward import precisions\n"
        "precisions()\n"
        "import openvino.tools.ovc.telemetry_utils as used\n"
        "assert used.tm.__name__.endswith('telemetry_stub'), used.tm\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
