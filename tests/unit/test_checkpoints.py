"""Round trips: a model in Hugging Face layout, rewritten in another, is the same."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from transformers import (
    DINOv3ConvNextConfig,
    DINOv3ConvNextModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
)

from checkpoints import (
    LVD,
    SAT,
    Mask,
    declare_sizes,
    meta_tensors,
    timm_tensors,
    write_meta,
    write_timm,
)
from dinoserve.engine.checkpoint_meta import (
    NO_DATA_NOTE,
    OTHER_SIZE_NOTE,
    PERIODS_NOTE,
    from_meta,
)
from dinoserve.engine.checkpoint_timm import from_timm
from dinoserve.engine.checkpoints import Source
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


class Published(NamedTuple):
    """What is known of a published checkpoint (model card, conversion scripts)."""

    file: str
    parameters: int
    tensors: int
    config: DINOv3ViTConfig | DINOv3ConvNextConfig


def _vit(
    width: int, inner: int, depth: int, heads: int, **more: Any
) -> DINOv3ViTConfig:
    return DINOv3ViTConfig(
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        num_register_tokens=4,
        **more,
    )


_GATED: dict[str, Any] = {"use_gated_mlp": True, "hidden_act": "silu"}
_LARGE = _vit(1024, 4096, 24, 16)
_7B = _vit(4096, 8192, 40, 32, query_bias=False, value_bias=False, **_GATED)
_DEPTHS = [3, 3, 27, 3]
_PUBLISHED = (
    Published(
        "vits16_pretrain_lvd1689m-08c60483", 21_596_544, 211, _vit(384, 1536, 12, 6)
    ),
    Published(
        "vits16plus_pretrain_lvd1689m-4057cbaa",
        28_692_864,
        235,
        _vit(384, 1536, 12, 6, **_GATED),
    ),
    Published(
        "vitb16_pretrain_lvd1689m-73cec8be", 85_660_416, 211, _vit(768, 3072, 12, 12)
    ),
    Published("vitl16_pretrain_lvd1689m-8aa4cbdd", 303_129_600, 415, _LARGE),
    Published(
        "vith16plus_pretrain_lvd1689m-7c1da9a5",
        840_592_640,
        615,
        _vit(1280, 5120, 32, 20, **_GATED),
    ),
    Published("vit7b16_pretrain_lvd1689m-a955f4ea", 6_716_035_072, 687, _7B),
    Published("vitl16_pretrain_sat493m-eadcf0ff", 303_129_600, 415, _LARGE),
    Published("vit7b16_pretrain_sat493m-a6675841", 6_716_035_072, 687, _7B),
    Published(
        "convnext_tiny_pretrain_lvd1689m-21b726bb",
        27_820_128,
        180,
        DINOv3ConvNextConfig(hidden_sizes=[96, 192, 384, 768], depths=[3, 3, 9, 3]),
    ),
    Published(
        "convnext_small_pretrain_lvd1689m-296db49d",
        49_454_688,
        342,
        DINOv3ConvNextConfig(hidden_sizes=[96, 192, 384, 768], depths=_DEPTHS),
    ),
    Published(
        "convnext_base_pretrain_lvd1689m-801f2ba9",
        87_566_464,
        342,
        DINOv3ConvNextConfig(hidden_sizes=[128, 256, 512, 1024], depths=_DEPTHS),
    ),
    Published(
        "convnext_large_pretrain_lvd1689m-61fa432d",
        196_230_336,
        342,
        DINOv3ConvNextConfig(hidden_sizes=[192, 384, 768, 1536], depths=_DEPTHS),
    ),
)
_TIMM = {
    "vits16": "vit_small_patch16_dinov3_qkvb",
    "vits16plus": "vit_small_plus_patch16_dinov3_qkvb",
    "vitb16": "vit_base_patch16_dinov3_qkvb",
    "vitl16": "vit_large_patch16_dinov3_qkvb",
    "vith16plus": "vit_huge_plus_patch16_dinov3_qkvb",
    "vit7b16": "vit_7b_patch16_dinov3",
}
each_published = pytest.mark.parametrize(
    "published", _PUBLISHED, ids=lambda published: published.file
)


def _full_size(published: Published) -> dict[str, torch.Tensor]:
    """Return tensors of the real shapes, of which only short ones take memory."""
    with torch.device("meta"):
        if isinstance(published.config, DINOv3ViTConfig):
            network = DINOv3ViTModel(published.config)
        else:
            network = DINOv3ConvNextModel(published.config)
    return {
        # Files are written without the prefix that the layers have in memory.
        name.removeprefix("model."): torch.zeros(value.shape)
        if value.ndim == 1
        else value
        for name, value in network.state_dict().items()
    }


def _assert_complete(tensors: Mapping[str, torch.Tensor], published: Published) -> None:
    wanted = {name: value.shape for name, value in _full_size(published).items()}
    assert {name: value.shape for name, value in tensors.items()} == wanted
    assert len(tensors) == published.tensors
    assert sum(value.numel() for value in tensors.values()) == published.parameters


@each_published
def test_a_checkpoint_of_metas_is_complete_at_its_full_size(
    published: Published,
) -> None:
    head = 128 if "7b" in published.file else 64
    local_norm = "7b" in published.file or "sat" in published.file
    tensors = meta_tensors(_full_size(published), head=head, local_norm=local_norm)
    source = Source("own.pth", tensors)
    checkpoint = from_meta(source, f"dinov3_{published.file}", "0" * 64)
    _assert_complete(checkpoint.tensors, published)


@each_published
def test_a_repository_of_timms_is_complete_at_its_full_size(
    published: Published,
) -> None:
    name, _, rest = published.file.partition("_pretrain_")
    data = rest.partition("-")[0]
    tag = data if name in _TIMM else f"dinov3_{data}"
    constants = SAT if data == "sat493m" else LVD
    config = {
        "architecture": _TIMM.get(name, name),
        "pretrained_cfg": {"tag": tag, **constants},
    }
    source = Source("timm", timm_tensors(_full_size(published)))
    _assert_complete(from_timm(source, config).tensors, published)


@pytest.mark.parametrize("published", _PUBLISHED[5:8], ids=["7B", "SAT L", "SAT 7B"])
def test_the_hash_in_a_files_name_tells_the_constants(published: Published) -> None:
    head = 128 if "7b" in published.file else 64
    tensors = meta_tensors(_full_size(published), head=head, local_norm=True)
    stem = f"renamed-{published.file[-8:]}"
    checkpoint = from_meta(Source("own.pth", tensors), stem, "0" * 64)
    wanted = SAT if "sat" in published.file else LVD
    assert checkpoint.preprocessor["image_mean"] == wanted["mean"]
    assert checkpoint.preprocessor["image_std"] == wanted["std"]
    assert NO_DATA_NOTE not in checkpoint.note


def test_the_digest_of_a_renamed_file_tells_the_constants() -> None:
    tensors = meta_tensors(_full_size(_PUBLISHED[7]), head=128, local_norm=True)
    digest = "a6675841" + "0" * 56
    checkpoint = from_meta(Source("own.pth", tensors), "renamed", digest)
    assert checkpoint.preprocessor["image_mean"] == SAT["mean"]


def test_a_7b_that_nothing_tells_apart_takes_the_constants_of_lvd_and_says_so() -> None:
    tensors = meta_tensors(_full_size(_PUBLISHED[7]), head=128, local_norm=True)
    checkpoint = from_meta(Source("own.pth", tensors), "renamed", "0" * 64)
    assert checkpoint.preprocessor["image_mean"] == LVD["mean"]
    assert NO_DATA_NOTE in checkpoint.note


def test_the_second_norm_tells_the_vit_l_of_satellites() -> None:
    tensors = meta_tensors(_full_size(_PUBLISHED[6]), local_norm=True)
    checkpoint = from_meta(Source("own.pth", tensors), "renamed", "0" * 64)
    assert checkpoint.preprocessor["image_mean"] == SAT["mean"]


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
