"""The twelve published checkpoints at full size: every tensor by name and shape.

Only short tensors take memory; the long ones have a shape and no numbers.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
import torch
from transformers import (
    DINOv3ConvNextConfig,
    DINOv3ConvNextModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
)

from checkpoints import LVD, SAT, meta_tensors, timm_tensors
from dinoserve.engine.checkpoint_meta import NO_DATA_NOTE, from_meta
from dinoserve.engine.checkpoint_timm import from_timm
from dinoserve.engine.checkpoints import Source
from dinoserve.errors import ModelUnavailableError


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


def _refusal(tensors: Mapping[str, torch.Tensor], stem: str) -> str:
    with pytest.raises(ModelUnavailableError) as caught:
        from_meta(Source("own.pth", tensors), stem, "0" * 64)
    return caught.value.detail


def test_tensors_of_satellites_under_a_name_of_lvd_are_refused() -> None:
    tensors = meta_tensors(_full_size(_PUBLISHED[6]), local_norm=True)
    detail = _refusal(tensors, "dinov3_vitl16_pretrain_lvd1689m-8aa4cbdd")
    assert "sat493m by its tensors" in detail


def test_tensors_of_lvd_under_a_name_of_satellites_are_refused() -> None:
    tensors = meta_tensors(_full_size(_PUBLISHED[3]))
    assert "contradicts itself" in _refusal(tensors, "dinov3_vitl16_pretrain_sat493m")


def test_a_hash_of_satellites_in_a_name_of_lvd_is_refused() -> None:
    tensors = meta_tensors(_full_size(_PUBLISHED[7]), head=128, local_norm=True)
    detail = _refusal(tensors, "dinov3_vit7b16_pretrain_lvd1689m-a6675841")
    assert "sat493m by the hash in its name" in detail


def test_a_name_of_another_architecture_is_refused() -> None:
    tensors = meta_tensors(_full_size(_PUBLISHED[0]))
    detail = _refusal(tensors, "dinov3_vits16plus_pretrain_lvd1689m-4057cbaa")
    assert "vits16 by its tensors" in detail


def test_a_checkpoint_with_fewer_blocks_than_its_name_says_is_refused() -> None:
    whole = meta_tensors(_full_size(_PUBLISHED[0]))
    tensors = {k: v for k, v in whole.items() if not k.startswith("blocks.11.")}
    detail = _refusal(tensors, "dinov3_vits16_pretrain_lvd1689m-08c60483")
    assert "layers=12" in detail
    assert "layers=11" in detail


def test_the_unlisted_vit_l_plus_is_no_vit_l() -> None:
    config = _vit(1024, 4096, 2, 16, **_GATED)
    tensors = meta_tensors(_full_size(Published("", 0, 0, config)))
    source = Source("own.pth", tensors)
    checkpoint = from_meta(source, "dinov3_vitl16plus_pretrain_lvd1689m", "0" * 64)
    assert checkpoint.preprocessor["image_mean"] == LVD["mean"]
