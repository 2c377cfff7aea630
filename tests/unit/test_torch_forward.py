from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from dinoserve.engine.preprocess import from_config
from dinoserve.engine.torch_forward import (
    TorchForward,
    choose_device,
    is_out_of_memory,
)
from dinoserve.engine.weights import load_model
from dinoserve.errors import StartUpError, UnavailableError
from models import make_convnext, make_vit
from shown import shown


@pytest.fixture(scope="session")
def forward() -> TorchForward:
    return _forward("bundled")


def _forward(name: str) -> TorchForward:
    model = load_model(name)
    how = from_config("hf", model.preprocessor, model.stride_px)
    return TorchForward(model, how, "cpu")


def _pixels(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def test_vectors_have_unit_length(forward: TorchForward) -> None:
    lengths = np.linalg.norm(forward(_pixels(3, 3, 224, 224)), axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=0, atol=1e-6)


def test_vectors_are_float32_rows_of_the_cards_dimension(forward: TorchForward) -> None:
    vectors = forward(_pixels(3, 3, 224, 224))
    assert (vectors.dtype, vectors.shape) == (
        np.float32,
        (3, forward.card.recipe.dimension),
    )


def test_a_prepared_picture_fits_the_model(forward: TorchForward) -> None:
    rgb = np.full((37, 91, 3), 200, dtype=np.uint8)
    assert forward.vectors([forward.prepare(shown(rgb))]).shape == (1, 192)


def test_pixels_in_any_memory_order_give_the_same_vector(forward: TorchForward) -> None:
    pixels = _pixels(2, 3, 96, 160)
    read_only = pixels.copy()
    read_only.flags.writeable = False
    expected = forward(pixels)
    for view in (
        np.asfortranarray(pixels),
        pixels[:, :, ::-1, ::-1].copy()[:, :, ::-1, ::-1],
        np.repeat(pixels, 2, axis=3)[..., ::2],
        read_only,
    ):
        np.testing.assert_array_equal(forward(view), expected)


def test_the_callers_pixels_are_left_alone(forward: TorchForward) -> None:
    pixels = _pixels(1, 3, 96, 160)
    before = pixels.copy()
    forward(pixels)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize(
    "shape",
    [(3, 224, 224), (1, 1, 224, 224), (0, 3, 224, 224), (1, 3, 0, 0), (1, 3, 100, 170)],
)
def test_pixels_of_a_wrong_shape_are_refused(
    forward: TorchForward, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        forward(_pixels(*shape))


def test_pixels_of_a_wrong_dtype_are_refused(forward: TorchForward) -> None:
    wrong = np.zeros((1, 3, 224, 224), dtype=np.uint8)
    with pytest.raises(ValueError, match="not uint8"):
        forward(wrong)  # pyright: ignore[reportArgumentType] - the mistake under test


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_never_leave(
    forward: TorchForward, value: float
) -> None:
    pixels = _pixels(2, 3, 224, 224)
    pixels[1, 0, 0, 0] = value
    with pytest.raises(UnavailableError, match="not finite"):
        forward(pixels)


def test_a_broken_picture_does_not_touch_the_next_call(forward: TorchForward) -> None:
    pixels = _pixels(1, 3, 224, 224)
    before = forward(pixels)
    with pytest.raises(UnavailableError):
        forward(np.full_like(pixels, np.nan))
    np.testing.assert_array_equal(forward(pixels), before)


@pytest.mark.parametrize(
    ("make", "tokens"), [(make_vit, 1 + 4 + 14 * 14), (make_convnext, 1 + 7 * 7)]
)
def test_tokens_are_those_that_the_model_computes(
    tmp_path: Path, make: Callable[[Path], Path], tokens: int
) -> None:
    forward = _forward(str(make(tmp_path / "model")))
    picture = forward.prepare(shown(np.zeros((20, 30, 3), np.uint8)))
    assert forward.tokens([picture]).shape[1] == tokens


def test_the_card_tells_what_is_loaded(tmp_path: Path) -> None:
    card = _forward(str(make_vit(tmp_path / "my-model", hidden=64))).card
    assert (card.recipe.model, card.recipe.revision) == ("my-model", "local")
    assert (card.recipe.preprocessing, card.recipe.pooling) == (
        "hf-224x224-lvd-v1",
        "cls",
    )
    assert (card.kind, card.device, card.precision) == ("dinov3_vit", "cpu", "fp32")


def test_other_weights_are_another_recipe(tmp_path: Path) -> None:
    one = _forward(str(make_vit(tmp_path / "a" / "model", seed=1)))
    two = _forward(str(make_vit(tmp_path / "b" / "model", seed=2)))
    assert one.card.recipe.id != two.card.recipe.id


def test_cpu_is_cpu_on_every_machine() -> None:
    assert choose_device("cpu").type == "cpu"


def test_auto_takes_cuda_where_it_is() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert choose_device("auto").type == expected


def test_cuda_without_a_device_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(StartUpError, match="DINOSERVE_DEVICE to auto"):
        choose_device("cuda")


def test_decoding_takes_one_core_and_the_forward_takes_all() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        forward = _forward("bundled")
        picture = shown(np.zeros((20, 30, 3), np.uint8))
        with ThreadPoolExecutor(1) as decoder, ThreadPoolExecutor(1) as device:
            prepared = decoder.submit(forward.prepare, picture).result()
            device.submit(forward.vectors, [prepared]).result()

            assert decoder.submit(torch.get_num_threads).result() == 1
            assert device.submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError(
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"
        ),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_a_lack_of_memory_is_recognised(error: Exception) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: an illegal memory access"), ValueError()]
)
def test_other_faults_are_no_lack_of_memory(error: Exception) -> None:
    assert not is_out_of_memory(error)


def test_a_real_lack_of_memory_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**62, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


@pytest.mark.parametrize("make", [make_vit, make_convnext])
def test_the_reference_gives_the_very_numbers_of_transformers(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    folder = make(tmp_path / "model")
    ours = _forward(str(folder)).all_tokens(_pixels(2, 3, 96, 160))
    theirs = AutoModel.from_pretrained(folder, dtype=torch.float32)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - transformers leaves it untyped
    with torch.inference_mode():
        expected = theirs(torch.tensor(_pixels(2, 3, 96, 160))).last_hidden_state  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - as above
    np.testing.assert_array_equal(ours, expected.numpy())  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] - as above
