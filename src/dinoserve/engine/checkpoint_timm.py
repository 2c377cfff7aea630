"""DINOv3 as timm writes it: `config.json` with an `architecture`, timm's names.

Source of the names: `checkpoint_filter_fn` in `timm/models/eva.py` and `convnext.py`
at aa4b5850, and `save_config_for_hf` in `timm/models/_hub.py`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

import torch
from safetensors.torch import (
    load_file,  # pyright: ignore[reportUnknownVariableType] - a bare PathLike
)

from dinoserve.engine.architectures import PUBLISHED, Architecture, ConvNeXt, ViT
from dinoserve.engine.checkpoints import Checkpoint, Source
from dinoserve.engine.model_folder import ModelFolder
from dinoserve.engine.preprocess import LVD_MEAN, LVD_STD, SAT_MEAN, SAT_STD

_BLOCKS = (
    (r"^embeddings\.patch_embeddings", "patch_embed.proj"),
    (r"^embeddings\.register_tokens", "reg_token"),
    (r"^embeddings\.", ""),
    (r"^layer\.", "blocks."),
    (r"attention\.([qv])_proj\.bias", r"attn.\1_bias"),
    (r"attention\.[qkv]_proj", "attn.qkv"),
    (r"attention\.o_proj", "attn.proj"),
    (r"layer_scale(\d)\.lambda1", r"gamma_\1"),
    (r"mlp\.down_proj", "mlp.fc2"),
)
_MLP = (*_BLOCKS, (r"mlp\.up_proj", "mlp.fc1"))
_SWIGLU = (*_BLOCKS, (r"mlp\.gate_proj", "mlp.fc1_g"), (r"mlp\.up_proj", "mlp.fc1_x"))
_CONVNEXT = (
    (r"^layer_norm", "head.norm"),
    (r"^stages\.0\.downsample_layers", "stem"),
    (r"downsample_layers", "downsample"),
    (r"\.layers\.", ".blocks."),
    (r"depthwise_conv", "conv_dw"),
    (r"\.layer_norm", ".norm"),
    (r"pointwise_conv", "mlp.fc"),
)
_ARCHITECTURES: Mapping[str, str] = {
    "vit_small_patch16_dinov3": "vits16",
    "vit_small_plus_patch16_dinov3": "vits16plus",
    "vit_base_patch16_dinov3": "vitb16",
    "vit_large_patch16_dinov3": "vitl16",
    "vit_huge_plus_patch16_dinov3": "vith16plus",
    "vit_7b_patch16_dinov3": "vit7b16",
    "convnext_tiny": "convnext_tiny",
    "convnext_small": "convnext_small",
    "convnext_base": "convnext_base",
    "convnext_large": "convnext_large",
}
_CONSTANTS = {
    "lvd1689m": [list(LVD_MEAN), list(LVD_STD)],
    "sat493m": [list(SAT_MEAN), list(SAT_STD)],
}


def is_timm(config: Mapping[str, object]) -> bool:
    """Tell whether a `config.json` is timm's."""
    return "model_type" not in config and "architecture" in config


def read_timm(folder: ModelFolder) -> Checkpoint:
    """Return the model of a folder in timm's layout: see `from_timm`.

    Raises:
        ModelUnavailableError: files are missing or damaged, or are no DINOv3 model.
    """
    tensors: dict[str, torch.Tensor] = {}
    for file in folder.weight_files():
        tensors |= load_file(file)
    return from_timm(Source(folder.name, tensors), folder.config())


def from_timm(source: Source, config: Mapping[str, object]) -> Checkpoint:
    """Return the model that tensors under timm's names are.

    Mean and standard deviation are those of `pretrained_cfg`; size and resize rule
    are DINOv3's own, not timm's, so that all layouts of the same weights agree. The
    mask token, which timm leaves out and only training uses, is zero.

    Args:
        source: the tensors.
        config: contents of timm's `config.json`.

    Raises:
        ModelUnavailableError: it is no DINOv3 model, or its tensors do not fit.
    """
    declared = _declared(source, config)
    preprocessor = _preprocessor(source, config)
    return Checkpoint(declared, _converted(source, declared), preprocessor)


def _declared(source: Source, config: Mapping[str, object]) -> Architecture:
    name, full = config.get("architecture"), _full_name(config)
    base = name.removesuffix("_qkvb") if isinstance(name, str) else ""
    if base not in _ARCHITECTURES or "dinov3" not in full or "eupe" in full:
        raise source.unavailable(
            f"config.json is timm's and says {full[:80]}, which is no DINOv3 model;"
            f" supported are {', '.join(_ARCHITECTURES)}, the last four with a tag"
            " that begins with dinov3"
        )
    arguments = config.get("model_args", {})
    try:
        sizes = _resized(PUBLISHED[_ARCHITECTURES[base]], arguments)
    except (TypeError, ValueError) as error:
        raise source.unavailable(
            f"config.json has model_args = {str(arguments)[:80]}; supported are"
            " embed_dim, depth and num_heads of a ViT, dims and depths of a ConvNeXt"
        ) from error
    if isinstance(sizes, ConvNeXt):
        return sizes
    return replace(sizes, qv_bias=base != name)


def _full_name(config: Mapping[str, object]) -> str:
    tag = _pretrained(config).get("tag")
    return f"{config.get('architecture')}.{tag}" if tag else str(config["architecture"])


def _pretrained(config: Mapping[str, object]) -> Mapping[str, object]:
    entries = config.get("pretrained_cfg")
    if isinstance(entries, dict):
        return cast("dict[str, object]", entries)
    return {}


def _resized(published: Architecture, arguments: object) -> Architecture:
    if not isinstance(arguments, dict):
        raise TypeError
    sizes = cast("dict[str, object]", arguments)
    if isinstance(published, ViT):
        return _resized_vit(published, **sizes)
    return _resized_convnext(published, **sizes)


def _resized_vit(
    published: ViT,
    *,
    embed_dim: object = None,
    depth: object = None,
    num_heads: object = None,
) -> ViT:
    hidden = _count(embed_dim or published.hidden)
    heads = _count(num_heads or published.heads)
    if hidden % (4 * heads):
        raise ValueError(num_heads)
    return replace(
        published,
        hidden=hidden,
        intermediate=hidden * published.intermediate // published.hidden,
        layers=_count(depth or published.layers),
        heads=heads,
    )


def _resized_convnext(
    published: ConvNeXt, *, dims: object = None, depths: object = None
) -> ConvNeXt:
    return ConvNeXt(
        _counts(dims or published.widths), _counts(depths or published.depths)
    )


def _count(value: object) -> int:
    if not isinstance(value, int) or value < 1:
        raise ValueError(value)
    return value


def _counts(value: object) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        raise TypeError(value)
    return tuple(map(_count, cast("list[object]", value)))


def _preprocessor(source: Source, config: Mapping[str, object]) -> dict[str, object]:
    pretrained, full = _pretrained(config), _full_name(config)
    mean, std = pretrained.get("mean"), pretrained.get("std")
    if mean is None or std is None:
        raise source.unavailable("config.json has no pretrained_cfg with mean and std")
    data = next((data for data in _CONSTANTS if data in full), None)
    if data and [mean, std] != _CONSTANTS[data]:
        raise source.unavailable(
            f"config.json says {full[:80]} with mean {mean} and std {std}, which are"
            f" not those of {data}"
        )
    return {"image_mean": mean, "image_std": std}


def _converted(source: Source, sizes: Architecture) -> dict[str, torch.Tensor]:
    shapes = sizes.shapes()
    if isinstance(sizes, ConvNeXt):
        return source.converted(shapes, _CONVNEXT, {})
    mask_token = torch.zeros(shapes.pop("embeddings.mask_token"))
    tensors = source.converted(shapes, _SWIGLU if sizes.swiglu else _MLP, {})
    return {**tensors, "embeddings.mask_token": mask_token}
