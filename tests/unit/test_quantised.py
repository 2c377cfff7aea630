"""int8: made from the user's pictures or the samples, kept, and never mistaken."""

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoserve.domain.framing import Framing
from dinoserve.engine import openvino_forward, quantised
from dinoserve.engine.fastest import lowest_cosine
from dinoserve.engine.openvino_forward import OpenVinoForward
from dinoserve.engine.preprocess import Preprocessing, from_config
from dinoserve.engine.quantised import (
    CALIBRATION_INPUTS,
    HELD_OUT_INPUTS,
    MAX_PICTURES,
    Calibration,
    open_quantised,
    read_calibration,
    sample_pictures,
)
from dinoserve.engine.torch_forward import TorchForward
from dinoserve.engine.weights import LoadedModel, load_model
from dinoserve.errors import StartUpError
from models import make_convnext, make_vit

MAKERS: dict[str, Callable[[Path], Path]] = {"vit": make_vit, "convnext": make_convnext}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(str(make_vit(tmp_path_factory.mktemp("small"))))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache, for tests that ask what int8 is and not how it is made."""
    return tmp_path_factory.mktemp("kept")


def how(model: LoadedModel, size: str = "64x64") -> Preprocessing:
    fit = "round" if ":" in size else "squash"
    given = from_config("hf", model.preprocessor, model.stride_px)
    return given.with_framing(Framing(size, fit))


def calibration(
    model: LoadedModel, folder: Path | None = None, size: str = "64x64"
) -> Calibration:
    preprocessing = how(model, size)
    reference = TorchForward(model, preprocessing, "cpu")
    return read_calibration(folder, reference, preprocessing)


def quantise(
    model: LoadedModel,
    folder: Path | None = None,
    cache: Path | None = None,
    size: str = "64x64",
) -> OpenVinoForward:
    return open_quantised(
        model, how(model, size), calibration(model, folder, size), cache
    )


def write_pictures(folder: Path, count: int, first: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    for seed in range(first, first + count):
        noise = np.random.default_rng(seed).integers(0, 256, (40, 60, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{seed:03}.png")
    return folder


def must_not_run(*_: object) -> None:
    pytest.fail("it was made again")


class TestCalibration:
    """What int8 is made with is never what it is judged by."""

    def test_the_samples_are_filled_up_with_variants(self, small: LoadedModel) -> None:
        found = calibration(small)

        assert (found.pictures, found.held_out_pictures) == (3, 1)
        assert len(found.seen) == CALIBRATION_INPUTS
        assert len(found.held_out) == HELD_OUT_INPUTS
        every = [one.tobytes() for one in (*found.seen, *found.held_out)]
        assert len(set(every)) == len(every)

    def test_every_fourth_picture_of_the_user_is_held_out(
        self, small: LoadedModel, tmp_path: Path
    ) -> None:
        found = calibration(small, write_pictures(tmp_path / "own", 60))

        assert (found.pictures, found.held_out_pictures) == (45, 15)
        assert len(found.seen) == 45

    def test_a_large_folder_is_read_in_part(
        self, small: LoadedModel, tmp_path: Path
    ) -> None:
        found = calibration(small, write_pictures(tmp_path / "own", 90))

        assert found.pictures + found.held_out_pictures == MAX_PICTURES

    def test_a_copy_under_another_name_counts_once(
        self, small: LoadedModel, tmp_path: Path
    ) -> None:
        folder = write_pictures(tmp_path / "own", 5)
        shutil.copy(folder / "000.png", folder / "zzz.png")

        found = calibration(small, folder)

        assert found.pictures + found.held_out_pictures == 5

    def test_the_same_pictures_give_the_same_inputs(
        self, small: LoadedModel, tmp_path: Path
    ) -> None:
        folder = write_pictures(tmp_path / "own", 4)
        first, second = calibration(small, folder), calibration(small, folder)

        assert first.sha256 == second.sha256
        np.testing.assert_array_equal(np.stack(first.seen), np.stack(second.seen))

    def test_what_is_no_picture_is_told_and_passed_over(
        self, small: LoadedModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        folder = write_pictures(tmp_path / "own", 4)
        (folder / "notes.txt").write_text("no picture")

        assert calibration(small, folder).pictures == 3
        assert "passes over notes.txt" in caplog.text

    @pytest.mark.parametrize("count", [0, 3])
    def test_too_few_pictures_stop_the_start(
        self, small: LoadedModel, tmp_path: Path, count: int
    ) -> None:
        with pytest.raises(StartUpError, match=f"holds {count} different pictures"):
            calibration(small, write_pictures(tmp_path / "own", count))

    def test_a_folder_that_is_a_file_stops_the_start(
        self, small: LoadedModel, tmp_path: Path
    ) -> None:
        (tmp_path / "file").touch()

        with pytest.raises(StartUpError, match="cannot be read"):
            calibration(small, tmp_path / "file")


@pytest.mark.parametrize("name", MAKERS)
def test_tokens_are_near_those_of_the_reference_at_any_size(
    tmp_path: Path, name: str
) -> None:
    model = load_model(str(MAKERS[name](tmp_path / "model")))
    fast = quantise(model)
    slow = TorchForward(model, how(model), "cpu")
    seen = np.stack(calibration(model).seen)

    for pixels in (seen[:1], seen[:5], seen[:2, :, :32]):
        ours, theirs = fast.all_tokens(pixels).copy(), slow.all_tokens(pixels)
        assert 0.9 < lowest_cosine(ours, theirs) < 0.99999


def test_pictures_without_a_common_size_quantise_too(small: LoadedModel) -> None:
    assert quantise(small, size="short:64").card.precision == "int8"


class TestRecipe:
    """Whatever changes the numbers of int8 changes its recipe."""

    def test_the_same_calibration_gives_the_same_recipe(
        self, small: LoadedModel, kept: Path
    ) -> None:
        first, second = (quantise(small, cache=kept) for _ in range(2))

        assert first.card.recipe == second.card.recipe
        assert first.card.recipe.weights_sha256 != small.weights_sha256

    def test_other_pictures_give_another(
        self, small: LoadedModel, tmp_path: Path, kept: Path
    ) -> None:
        folder = write_pictures(tmp_path / "own", 4)
        recipes = {
            quantise(small, given, kept).card.recipe.id for given in (None, folder)
        }

        assert len(recipes) == 2

    def test_another_size_gives_other_weights(
        self, small: LoadedModel, kept: Path
    ) -> None:
        digests = {
            quantise(small, cache=kept, size=size).card.recipe.weights_sha256
            for size in ("64x64", "96x96")
        }

        assert len(digests) == 2

    def test_another_nncf_gives_another(
        self, small: LoadedModel, kept: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = quantise(small, cache=kept).card.recipe
        monkeypatch.setattr(quantised, "_nncf_version", lambda: "99.0")

        assert quantise(small, cache=kept).card.recipe != before


class TestCache:
    """int8 is made once; a bad cache costs time, never an answer."""

    def test_a_kept_graph_is_not_quantised_again(
        self, small: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pixels = np.stack(calibration(small).held_out)
        first = quantise(small, cache=tmp_path)(pixels)
        monkeypatch.setattr(quantised, "_quantised", must_not_run)

        second = quantise(small, cache=tmp_path)(pixels)

        np.testing.assert_array_equal(first, second)

    def test_float_and_int8_are_kept_apart(
        self, small: LoadedModel, tmp_path: Path
    ) -> None:
        quantise(small, cache=tmp_path)
        pixels = calibration(small).held_out[0][None]

        exact = OpenVinoForward(
            small, how(small), "fp32", openvino_forward.converted(small, tmp_path)
        )

        reference = TorchForward(small, how(small), "cpu")
        assert (
            lowest_cosine(exact.all_tokens(pixels), reference.all_tokens(pixels))
            > 0.999999
        )

    def test_one_that_cannot_be_written_is_told_and_done_without(
        self, small: LoadedModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "cache").write_text("a file in its place")

        forward = quantise(small, cache=tmp_path / "cache")

        assert forward.card.precision == "int8"
        assert "cannot be used" in caplog.text


class TestMissing:
    """What int8 needs and is not there stops the start, with what to do."""

    def test_without_nncf_the_extra_is_named(
        self, small: LoadedModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def absent(name: str) -> str:
            raise metadata.PackageNotFoundError(name)

        found = calibration(small)
        monkeypatch.setattr(metadata, "version", absent)

        with pytest.raises(StartUpError, match=r"pip install 'dinoserve\[int8\]'"):
            open_quantised(small, how(small), found, None)

    def test_a_processor_without_int8_is_told(
        self, small: LoadedModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = calibration(small)
        monkeypatch.setattr(openvino_forward, "precisions", lambda: ("fp32",))

        with pytest.raises(StartUpError, match="int8; it does in fp32"):
            open_quantised(small, how(small), found, None)


def test_quantising_prints_nothing_and_tells_its_progress(
    small: LoadedModel,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    quantise(small)

    assert capfd.readouterr().out == ""
    assert "quantising" in caplog.text
    assert "pass 1 over the calibration pictures" in caplog.text


def test_nncf_reports_nothing_to_anybody() -> None:
    code = (
        "import socket\n"
        "def refuse(*_): raise SystemExit('a connection was opened')\n"
        "socket.socket.connect = refuse\n"
        "from dinoserve.engine import quantised\n"
        "with quantised._nncf():\n"
        "    from nncf.telemetry.wrapper import NNCFTelemetryStub, telemetry\n"
        "assert isinstance(telemetry, NNCFTelemetryStub), telemetry\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_quantising_leaves_the_log_of_everybody_as_it_was() -> None:
    kind = logging.getLoggerClass()

    with quantised._nncf():  # pyright: ignore[reportPrivateUsage] - what imports NNCF
        pass

    assert logging.getLoggerClass() is kind


def test_the_samples_are_those_of_the_parity_check() -> None:
    assert [file.stem for file in sample_pictures()] == [
        "astronaut",
        "chelsea",
        "coffee",
        "rocket",
    ]
