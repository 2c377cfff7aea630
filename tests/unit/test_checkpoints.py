"""Round trips: a model in Hugging Face layout, rewritten in another, is the same."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from checkpoints import SAT, Mask, declare_sizes, write_meta, write_timm
from dinoserve.engine.checkpoint_meta import OTHER_SIZE_NOTE, PERIODS_NOTE
from dinoserve.engine.weights import LoadedModel, load_model
from hub_server import serve_hub
from models import make_convnext, make_vit


class Made(NamedTuple):
    """A model in Hugging Face layout, and what timm calls and declares it."""

    folder: Path
    timm: str
    sizes: Mapping[str, object]
    head: int = 64


_MAKERS: Mapping[str, Callable[[Path], Made]] = {
    "ViT-S, full": lambda folder: Made(
        make_vit(folder, hidden=384, layers=12, heads=6),
        "vit_small_patch16_dinov3_qkvb.lvd1689m",
        {},
    ),
    "ViT-S+": lambda folder: Made(
        make_vit(folder, hidden=384, heads=6, swiglu=True),
        "vit_small_plus_patch16_dinov3_qkvb.lvd1689m",
        {"depth": 2},
    ),
    "ViT-B": lambda folder: Made(
        make_vit(folder, hidden=768, heads=12),
        "vit_base_patch16_dinov3_qkvb.lvd1689m",
        {"depth": 2},
    ),
    "ViT-L": lambda folder: Made(
        make_vit(folder, hidden=1024, layers=1, heads=16),
        "vit_large_patch16_dinov3_qkvb.lvd1689m",
        {"depth": 1},
    ),
    "ViT-H+": lambda folder: Made(
        make_vit(folder, hidden=640, layers=3, heads=10, swiglu=True),
        "vit_huge_plus_patch16_dinov3_qkvb.lvd1689m",
        {"embed_dim": 640, "depth": 3, "num_heads": 10},
    ),
    "ViT-7B": lambda folder: Made(
        make_vit(
            folder, hidden=512, intermediate=1024, heads=4, swiglu=True, qv_bias=False
        ),
        "vit_7b_patch16_dinov3.lvd1689m",
        {"embed_dim": 512, "depth": 2, "num_heads": 4},
        head=128,
    ),
    "ConvNeXt-T, full": lambda folder: Made(
        make_convnext(folder, widths=(96, 192, 384, 768), depths=(3, 3, 9, 3)),
        "convnext_tiny.dinov3_lvd1689m",
        {},
    ),
    "ConvNeXt-S": lambda folder: _convnext(folder, "small", (96, 192, 384, 768)),
    "ConvNeXt-B": lambda folder: _convnext(folder, "base", (128, 256, 512, 1024)),
    "ConvNeXt-L": lambda folder: _convnext(folder, "large", (192, 384, 768, 1536)),
}


def _convnext(folder: Path, size: str, widths: tuple[int, ...]) -> Made:
    depths = (1, 1, 3, 1)
    return Made(
        make_convnext(folder, widths=widths, depths=depths),
        f"convnext_{size}.dinov3_lvd1689m",
        {"depths": depths},
    )


@pytest.fixture(scope="session", params=_MAKERS)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Made:
    return _MAKERS[request.param](tmp_path_factory.mktemp("made") / "model")


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_vit(tmp_path_factory.mktemp("small") / "model", hidden=128)


def _tokens(model: LoadedModel) -> torch.Tensor:
    noise = torch.Generator().manual_seed(0)
    pixels = torch.randn(1, 3, 64, 96, generator=noise)
    with torch.inference_mode():
        return model.network(pixels).last_hidden_state


def _assert_same(
    model: LoadedModel, folder: Path, *, but: tuple[str, ...] = ()
) -> None:
    wanted = load_model(str(folder))
    ours, theirs = model.network.state_dict(), wanted.network.state_dict()
    assert ours.keys() == theirs.keys()
    differing = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert differing == list(but)
    torch.testing.assert_close(_tokens(model), _tokens(wanted), rtol=0, atol=1e-6)


def test_a_folder_of_timms_gives_the_same_tensors_and_vectors(
    made: Made, tmp_path: Path
) -> None:
    folder = write_timm(made.folder, tmp_path / "timm", made.timm)
    if made.sizes:
        declare_sizes(folder, **made.sizes)
    unused = ("embeddings.mask_token",) if made.timm.startswith("vit") else ()
    _assert_same(load_model(str(folder)), made.folder, but=unused)


def test_a_checkpoint_of_metas_gives_the_same_tensors_and_vectors(
    made: Made, tmp_path: Path
) -> None:
    file = write_meta(made.folder, tmp_path / "own.pth", head=made.head)
    _assert_same(load_model(str(file)), made.folder)


def test_timm_without_the_biases_that_are_zero_is_loaded_without_them(
    tmp_path: Path,
) -> None:
    plain = make_vit(tmp_path / "plain", hidden=128, qv_bias=False)
    name = "vit_small_patch16_dinov3.lvd1689m"
    folder = write_timm(plain, tmp_path / "timm", name)
    declare_sizes(folder, embed_dim=128, depth=2, num_heads=2)
    _assert_same(load_model(str(folder)), plain, but=("embeddings.mask_token",))


@pytest.mark.parametrize("mask", ["nan", "absent"])
def test_a_mask_of_nan_or_none_at_all_changes_nothing(
    small: Path, tmp_path: Path, mask: Mask
) -> None:
    file = write_meta(small, tmp_path / "own.pth", mask=mask)
    _assert_same(load_model(str(file)), small)


def test_the_second_norm_that_only_training_uses_is_dropped(
    small: Path, tmp_path: Path
) -> None:
    file = write_meta(small, tmp_path / "own.pth", local_norm=True)
    _assert_same(load_model(str(file)), small)


def test_half_precision_is_widened(tmp_path: Path) -> None:
    half = make_vit(tmp_path / "half", hidden=128, dtype=torch.bfloat16)
    file = write_meta(half, tmp_path / "own.pth")
    _assert_same(load_model(str(file)), half)


def test_a_loaded_checkpoint_no_longer_needs_its_file(
    small: Path, tmp_path: Path
) -> None:
    file = write_meta(small, tmp_path / "own.pth")
    model = load_model(str(file))
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.write(bytes(size))
    _assert_same(model, small)


def test_sizes_that_meta_never_published_are_told(small: Path, tmp_path: Path) -> None:
    model = load_model(str(write_meta(small, tmp_path / "own.pth")))
    assert OTHER_SIZE_NOTE in model.note


def test_the_precision_of_the_rotary_periods_is_told(
    small: Path, tmp_path: Path
) -> None:
    model = load_model(str(write_meta(small, tmp_path / "own.pth")))
    assert PERIODS_NOTE in model.note


def test_rotary_periods_are_those_of_float32_whatever_the_file_rounds(
    small: Path, tmp_path: Path
) -> None:
    network: Any = load_model(str(write_meta(small, tmp_path / "own.pth"))).network
    exact = 100 ** -(torch.arange(16, dtype=torch.float64) / 16)
    ours = network.rope_embeddings.inv_freq.double()
    torch.testing.assert_close(ours, exact, rtol=1e-6, atol=0)


def test_a_checkpoint_goes_by_its_files_name(small: Path, tmp_path: Path) -> None:
    file = write_meta(small, tmp_path / "own.pth")
    model = load_model(str(file))
    assert (model.name, model.revision, model.folder) == ("own", "local", tmp_path)


def test_the_digest_of_a_checkpoint_is_that_of_the_file(
    small: Path, tmp_path: Path
) -> None:
    file = write_meta(small, tmp_path / "own.pth")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert load_model(str(file)).weights_sha256 == digest


def test_converted_models_of_one_configuration_have_one_digest_of_it(
    small: Path, tmp_path: Path
) -> None:
    file = write_meta(small, tmp_path / "own.pth")
    name = "vit_small_patch16_dinov3_qkvb.lvd1689m"
    folder = write_timm(small, tmp_path / "timm", name)
    declare_sizes(folder, embed_dim=128, depth=2, num_heads=2)
    of_file, of_folder = load_model(str(file)), load_model(str(folder))
    assert of_file.config_sha256 == of_folder.config_sha256


def test_timm_tells_mean_and_deviation_and_nothing_else_of_the_preprocessing(
    small: Path, tmp_path: Path
) -> None:
    name = "vit_large_patch16_dinov3_qkvb.sat493m"
    folder = write_timm(small, tmp_path / "timm", name, SAT)
    declare_sizes(folder, embed_dim=128, depth=2, num_heads=2)
    wanted = {"image_mean": SAT["mean"], "image_std": SAT["std"]}
    assert load_model(str(folder)).preprocessor == wanted


def test_a_repository_of_timms_is_loaded_from_the_hub(
    small: Path, tmp_path: Path
) -> None:
    repository = "timm/vit_small_patch16_dinov3_qkvb.lvd1689m"
    folder = write_timm(small, tmp_path / "timm", repository.partition("/")[2])
    declare_sizes(folder, embed_dim=128, depth=2, num_heads=2)
    with serve_hub(folder, repository) as hub:
        cache = tmp_path / "cache"
        model = load_model(repository, endpoint=hub.endpoint, cache=cache)
    assert (model.name, model.revision) == (repository, hub.commit)
    assert model.licence == "DINOv3 License"
    _assert_same(model, small, but=("embeddings.mask_token",))
