"""Our vectors against two other computations of the same files.

One is transformers, loaded plainly; the other, in `reference.py`, shares nothing with
it. ViT-S, S+, B and ConvNeXt-T have their full size; the others have their true width
(the 7B: its head width and its lack of biases) and fewer layers.
"""

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoModel

from dinoserve.engine.preprocess import Preprocessing, from_config
from dinoserve.engine.torch_forward import TorchForward
from dinoserve.engine.weights import load_model
from models import make_convnext, make_vit
from reference import class_tokens

Pixels: TypeAlias = NDArray[np.float32]
Fixture: TypeAlias = Callable[[str], Path]

MODELS: dict[str, Callable[[Path], Path]] = {
    "vits16": partial(make_vit, hidden=384, layers=12, heads=6),
    "vits16plus": partial(
        make_vit, hidden=384, layers=12, heads=6, intermediate=1536, swiglu=True
    ),
    "vitb16": partial(make_vit, hidden=768, layers=12, heads=12),
    "vitl16-2-layers": partial(make_vit, hidden=1024, layers=2, heads=16),
    "vith16plus-2-layers": partial(
        make_vit, hidden=1280, layers=2, heads=20, intermediate=5120, swiglu=True
    ),
    "vit7b16-pattern": partial(
        make_vit,
        hidden=512,
        layers=2,
        heads=4,
        intermediate=1024,
        swiglu=True,
        qv_bias=False,
    ),
    "convnext-tiny": partial(
        make_convnext, widths=(96, 192, 384, 768), depths=(3, 3, 9, 3)
    ),
    "convnext-small-short": partial(
        make_convnext, widths=(96, 192, 384, 768), depths=(1, 1, 12, 1)
    ),
    "convnext-base-short": partial(
        make_convnext, widths=(128, 256, 512, 1024), depths=(1, 2, 3, 1)
    ),
    "convnext-large-short": partial(
        make_convnext, widths=(192, 384, 768, 1536), depths=(1, 1, 2, 1)
    ),
}
LARGE = [("vits16", 512, 768), ("convnext-tiny", 512, 768)]


def _cases(*sizes: tuple[int, int]) -> list[tuple[str, int, int]]:
    return [(name, *size) for name in MODELS for size in sizes]


ABSOLUTE = 1e-4
COSINE = 0.999_999


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Tests share the cores; threads that wait for each other cost them more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Fixture:
    @cache
    def make(name: str) -> Path:
        return MODELS[name](tmp_path_factory.mktemp("models") / name)

    return make


@pytest.fixture(scope="session")
def forward(folder: Fixture) -> Callable[[str], TorchForward]:
    @cache
    def load(name: str) -> TorchForward:
        return _forward(folder(name))

    return load


def _forward(folder: Path) -> TorchForward:
    model = load_model(str(folder))
    how: Preprocessing = from_config("hf", model.preprocessor, model.stride_px)
    return TorchForward(model, how, "cpu")


def _pixels(count: int, height: int, width: int) -> Pixels:
    noise = np.random.default_rng([count, height, width])
    return noise.standard_normal((count, 3, height, width), dtype=np.float32)


def _assert_same(ours: NDArray[np.float32], theirs: NDArray[np.floating]) -> None:
    """Compare at the scale of the class token, where a unit vector would flatter us."""
    length = np.linalg.norm(theirs, axis=1, keepdims=True)
    np.testing.assert_allclose(ours * length, theirs, rtol=0, atol=ABSOLUTE)
    assert (ours * theirs / length).sum(axis=1).min() >= COSINE


@pytest.mark.parametrize(
    ("name", "height", "width"), [*_cases((224, 224), (96, 160)), LARGE[0]]
)
def test_vectors_equal_an_independent_computation(
    folder: Fixture,
    forward: Callable[[str], TorchForward],
    name: str,
    height: int,
    width: int,
) -> None:
    pixels = _pixels(1, height, width)
    _assert_same(forward(name)(pixels), class_tokens(folder(name), pixels))


@pytest.mark.parametrize(
    ("name", "height", "width"), [*_cases((160, 96), (256, 256)), *LARGE]
)
def test_vectors_equal_those_of_transformers(
    folder: Fixture,
    forward: Callable[[str], TorchForward],
    name: str,
    height: int,
    width: int,
) -> None:
    pixels = _pixels(2, height, width)
    theirs = cast("Any", AutoModel).from_pretrained(folder(name), dtype=torch.float32)
    with torch.inference_mode():
        pooled = theirs(pixel_values=torch.tensor(pixels)).pooler_output
    _assert_same(forward(name)(pixels), pooled.numpy())


@pytest.mark.parametrize("name", ["vits16", "vit7b16-pattern", "convnext-tiny"])
def test_a_picture_gets_the_same_vector_in_any_batch(
    forward: Callable[[str], TorchForward], name: str
) -> None:
    pixels = _pixels(5, 224, 224)
    alone = np.concatenate([forward(name)(pixels[i : i + 1]) for i in range(5)])
    np.testing.assert_allclose(forward(name)(pixels), alone, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("make", [make_vit, make_convnext])
def test_half_precision_on_disk_is_computed_in_float32(
    tmp_path: Path, make: Callable[..., Path], dtype: torch.dtype
) -> None:
    pixels = _pixels(2, 96, 160)
    folder = make(tmp_path / "half", dtype=dtype)
    _assert_same(_forward(folder)(pixels), class_tokens(folder, pixels))
