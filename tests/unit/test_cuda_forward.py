"""The path of CUDA, run on the CPU: the same code without recordings and compilers."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from dinoserve.domain.framing import Framing
from dinoserve.engine import cuda_forward, replays
from dinoserve.engine.cuda_forward import CudaForward, compile_blocks
from dinoserve.engine.folding import Folded, folded
from dinoserve.engine.model_forward import ModelForward
from dinoserve.engine.network import Network
from dinoserve.engine.preprocess import Preprocessing, from_config
from dinoserve.engine.replays import Recent, Replays, bucket
from dinoserve.engine.torch_forward import TorchForward
from dinoserve.engine.weights import LoadedModel, load_model
from dinoserve.errors import UnavailableError
from models import make_convnext, make_vit
from shown import shown


@pytest.fixture(scope="module", autouse=True)
def threads() -> Iterator[None]:
    """Give back the threads that the path takes from whoever runs it."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", params=[make_vit, make_convnext])
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> LoadedModel:
    make: Callable[[Path], Path] = request.param
    return load_model(str(make(tmp_path_factory.mktemp("models") / "model")))


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(str(make_vit(tmp_path_factory.mktemp("models") / "vit")))


def preprocessing(model: LoadedModel) -> Preprocessing:
    return from_config("hf", model.preprocessor, model.stride_px)


def opened(model: LoadedModel, precision: str = "fp32") -> CudaForward:
    return CudaForward(model, preprocessing(model), "cpu", precision)


def reference(model: LoadedModel) -> TorchForward:
    return TorchForward(model, preprocessing(model), "cpu")


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed)
    return noise.integers(0, 256, (height, width, 3), dtype=np.uint8)


PICTURES = [picture(300, 400, 1), picture(91, 37, 2), picture(224, 224, 3)]


def vectors_of(forward: ModelForward, framing: Framing | None = None) -> Any:
    return forward.vectors([forward.prepare(shown(one), framing) for one in PICTURES])


def test_vectors_are_those_of_the_reference(model: LoadedModel) -> None:
    np.testing.assert_allclose(
        vectors_of(opened(model)), vectors_of(reference(model)), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_vectors_in_half_precision_keep_their_direction(
    model: LoadedModel, precision: str
) -> None:
    ours = vectors_of(opened(model, precision))
    assert (ours * vectors_of(reference(model))).sum(axis=1).min() >= 0.999


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_vectors_are_unit_rows_of_float32(vit: LoadedModel, precision: str) -> None:
    ours = vectors_of(opened(vit, precision))
    assert (ours.dtype, ours.shape) == (np.float32, (3, 64))
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, rtol=0, atol=1e-6)


def test_tokens_are_those_of_the_reference(model: LoadedModel) -> None:
    ours, theirs = (
        forward.tokens([forward.prepare(shown(one)) for one in PICTURES])
        for forward in (opened(model), reference(model))
    )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_tokens_stay_when_the_next_batch_comes(vit: LoadedModel) -> None:
    forward = opened(vit)
    first = forward.tokens([forward.prepare(shown(PICTURES[0]))])
    before = first.copy()
    forward.tokens([forward.prepare(shown(PICTURES[1]))])
    np.testing.assert_array_equal(first, before)


def test_the_parity_gate_can_ask_for_tokens_of_pixels(model: LoadedModel) -> None:
    noise = np.random.default_rng(0)
    pixels = noise.standard_normal((3, 3, 96, 160), dtype=np.float32)
    np.testing.assert_allclose(
        opened(model).all_tokens(pixels),
        reference(model).all_tokens(pixels),
        rtol=0,
        atol=1e-4,
    )


def test_a_picture_gets_the_same_vector_in_any_batch(vit: LoadedModel) -> None:
    forward = opened(vit)
    prepared = [forward.prepare(shown(picture(60, 80, seed))) for seed in range(11)]
    alone = np.concatenate([forward.vectors([one]) for one in prepared])
    np.testing.assert_allclose(forward.vectors(prepared), alone, rtol=0, atol=1e-6)


def test_what_an_earlier_picture_left_touches_no_later_one(vit: LoadedModel) -> None:
    forward = opened(vit)
    pixels = np.full((3, 3, 96, 96), np.nan, np.float32)
    expected = forward.all_tokens(np.ones((3, 3, 96, 96), np.float32))
    forward.all_tokens(np.concatenate([pixels, pixels[:1]]))
    ours = forward.all_tokens(np.ones((3, 3, 96, 96), np.float32))
    np.testing.assert_array_equal(ours, expected)


def test_numbers_that_are_not_finite_never_leave(vit: LoadedModel) -> None:
    forward = opened(vit)
    sound = reference(vit).prepare(shown(PICTURES[0]))
    broken = sound._replace(pixels=np.full((3, 224, 224), np.nan, np.float32))
    with pytest.raises(UnavailableError, match="not finite"):
        forward.vectors([sound, broken])


def test_the_card_names_engine_and_precision(vit: LoadedModel) -> None:
    card = opened(vit, "bf16").card
    assert (card.engine, card.device, card.precision) == ("torch", "cpu", "bf16")


@pytest.mark.parametrize(
    ("images", "filled"),
    [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (8, 8), (9, 16), (33, 40), (256, 256)],
)
def test_a_batch_is_filled_up_to_few_sizes(images: int, filled: int) -> None:
    assert bucket(images) == filled


class Memoryless(torch.nn.Module):
    """A block that finds no memory."""

    def forward(self, *_: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(network: Network, dtype: torch.dtype) -> Folded:
        lean = folded(network, dtype)
        lean.blocks[0] = Memoryless()
        return lean

    monkeypatch.setattr(cuda_forward, "folded", make)


@pytest.mark.usefixtures("no_memory")
def test_without_memory_every_recording_is_given_back(
    vit: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    given_back: list[Replays] = []

    def give_back(runs: Replays) -> None:
        given_back.append(runs)

    monkeypatch.setattr(Replays, "clear", give_back)
    with pytest.raises(torch.OutOfMemoryError):
        vectors_of(opened(vit))
    assert len(given_back) == 1


@pytest.mark.usefixtures("no_memory")
def test_warming_up_ends_quietly_where_memory_ends(vit: LoadedModel) -> None:
    opened(vit).warm((1, 2))


def test_the_second_batch_of_a_shape_is_recorded_once(
    vit: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[object] = []

    def record(step: replays.Step, pool: object) -> replays.Step:
        recorded.append(pool)
        return step

    monkeypatch.setattr(replays, "_recorded", record)
    runs = Replays(folded(vit.network, torch.float32))
    runs._pool = "as on CUDA"  # pyright: ignore[reportPrivateUsage] - a CPU has none
    counts: list[int] = []
    for images in (3, 4, 3):
        with torch.inference_mode():
            runs(torch.ones(images, 3, 32, 32))
        counts.append(len(recorded))
    assert counts == [0, 1, 1]


def test_rotary_tables_are_made_once_a_grid(
    vit: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    lean = folded(vit.network, torch.float32)
    made: list[tuple[int, int]] = []
    tables = lean.tables

    def count(height: int, width: int) -> tuple[Tensor, ...]:
        made.append((height, width))
        return tables(height, width)

    monkeypatch.setattr(lean, "tables", count)
    runs = Replays(lean)
    with torch.inference_mode():
        for images, width in [(1, 32), (2, 32), (9, 32), (1, 48), (1, 32)]:
            runs(torch.ones(images, 3, 32, width))
    assert made == [(32, 32), (32, 48)]


def test_only_what_was_used_last_is_kept() -> None:
    kept = Recent[str, str](2)
    made: list[str] = []
    for key in ("a", "b", "a", "c", "a", "b"):
        kept.get(key, lambda key=key: made.append(key) or key)
    assert made == ["a", "b", "c", "b"]


@pytest.fixture
def network(vit: LoadedModel) -> Iterator[Folded]:
    torch.compiler.reset()
    yield folded(vit.network, torch.float32)
    torch.compiler.reset()


def noise(images: int, height: int = 96, width: int = 96) -> Tensor:
    return torch.randn(
        images, 3, height, width, generator=torch.Generator().manual_seed(0)
    )


def test_compiled_blocks_take_batches_and_sizes_they_never_saw(
    network: Folded,
) -> None:
    assert compile_blocks(network, noise(2), backend="eager")
    with torch.inference_mode(), torch.compiler.set_stance("fail_on_recompile"):
        for images, height, width in [(5, 64, 160), (1, 32, 32), (16, 224, 224)]:
            given = noise(images, height, width)
            tokens = network(given, *network.tables(height, width))
            assert tokens.shape == (images, 5 + height * width // 256, 64)


def test_compiled_blocks_give_the_same_tokens(network: Folded) -> None:
    given = noise(5, 64, 160)
    with torch.inference_mode():
        tables = network.tables(64, 160)
        expected = network(given, *tables)
        assert compile_blocks(network, noise(2), backend="eager")
        torch.testing.assert_close(network(given, *tables), expected)


def broken_compiler(_graph: object, _inputs: object) -> Callable[..., Any]:
    raise RuntimeError("no C compiler")


def wrong_compiler(
    graph: Callable[..., tuple[Tensor, ...]], _inputs: object
) -> Callable[..., Any]:
    return lambda *given: tuple(-out + 1 for out in graph(*given))


@pytest.mark.parametrize("backend", [broken_compiler, wrong_compiler])
def test_a_compiler_that_fails_or_errs_changes_nothing(
    network: Folded, backend: Any, caplog: pytest.LogCaptureFixture
) -> None:
    blocks = network.blocks
    assert not compile_blocks(network, noise(2), backend=backend)
    assert network.blocks is blocks
    assert "not compiled" in caplog.text
