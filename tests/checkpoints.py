"""DINOv3 models written in timm's layout and in Meta's, from the same tensors.

Written from the published lists of names, one line a name, and sharing nothing with
the converter under test.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from safetensors.torch import (
    load_file,  # pyright: ignore[reportUnknownVariableType] - a bare PathLike
    save_file,  # pyright: ignore[reportUnknownVariableType] - a bare PathLike
)

Tensors: TypeAlias = Mapping[str, torch.Tensor]
Mask: TypeAlias = Literal["set", "nan", "absent"]

LVD = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
SAT = {"mean": [0.43, 0.411, 0.296], "std": [0.213, 0.156, 0.143]}
# 100 ** (k / 16) rounded to bfloat16, of heads of 64 numbers.
PERIODS_64 = (
    *(1, 1.3359375, 1.78125, 2.375, 3.15625, 4.21875, 5.625, 7.5),
    *(10, 13.3125, 17.75, 23.75, 31.625, 42.25, 56.25, 75),
)


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a folder in Hugging Face layout."""
    return load_file(folder / "model.safetensors")


def write_timm(
    source: Path, folder: Path, name: str, pretrained: Mapping[str, object] = LVD
) -> Path:
    """Write a folder in timm's layout; return it.

    Args:
        source: a folder in Hugging Face layout.
        folder: made here.
        name: `architecture.tag`; the sizes that differ from what timm builds by that
            name are not declared: see `declare_sizes`.
        pretrained: mean and standard deviation.
    """
    folder.mkdir()
    save_file(timm_tensors(tensors_of(source)), folder / "model.safetensors")
    architecture, _, tag = name.partition(".")
    config = {
        "architecture": architecture,
        "num_classes": 0,
        "num_features": 384,
        "global_pool": "avg",
        "pretrained_cfg": {
            "tag": tag,
            "custom_load": False,
            "input_size": [3, 256, 256],
            "fixed_input_size": False,
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "crop_mode": "center",
            **pretrained,
            "num_classes": 0,
            "pool_size": None,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
            "license": "dinov3-license",
        },
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def declare_sizes(folder: Path, **sizes: object) -> Path:
    """Write timm's `model_args`, for sizes that are not the architecture's own."""
    file = folder / "config.json"
    config = {**json.loads(file.read_bytes()), "model_args": sizes}
    file.write_text(json.dumps(config))
    return folder


def timm_tensors(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Return the tensors under timm's names."""
    if "layer_norm.weight" in tensors:
        return dict(_timm_convnext(tensors))
    return dict(_timm_vit(tensors))


def meta_tensors(
    tensors: Tensors, *, head: int = 64, mask: Mask = "set", local_norm: bool = False
) -> dict[str, torch.Tensor]:
    """Return the tensors under Meta's names.

    Args:
        tensors: under Hugging Face's names.
        head: numbers in an attention head.
        mask: what the `bias_mask` of queries, keys and values holds.
        local_norm: whether the second norm of the 7B is there.
    """
    if "layer_norm.weight" in tensors:
        return dict(_meta_convnext(tensors))
    return dict(_meta_vit(tensors, head, mask, local_norm=local_norm))


def write_meta(source: Path, file: Path, **how: Any) -> Path:
    """Write a checkpoint of Meta's from a folder in Hugging Face layout; return it."""
    torch.save(meta_tensors(tensors_of(source), **how), file)
    return file


def _both(theirs: str, tensors: Tensors, ours: str) -> Iterator[tuple[str, Any]]:
    yield f"{theirs}.weight", tensors[f"{ours}.weight"]
    yield f"{theirs}.bias", tensors[f"{ours}.bias"]


def _layers(tensors: Tensors) -> int:
    return sum(name.endswith("norm1.weight") for name in tensors)


def _fused(tensors: Tensors, at: str) -> torch.Tensor:
    return torch.cat([tensors[f"{at}.{name}_proj.weight"] for name in "qkv"])


def _vit_ends(tensors: Tensors) -> Iterator[tuple[str, Any]]:
    yield "cls_token", tensors["embeddings.cls_token"]
    yield from _both("patch_embed.proj", tensors, "embeddings.patch_embeddings")
    yield from _both("norm", tensors, "norm")


def _timm_vit(tensors: Tensors) -> Iterator[tuple[str, Any]]:
    yield from _vit_ends(tensors)
    yield "reg_token", tensors["embeddings.register_tokens"]
    for layer in range(_layers(tensors)):
        ours, at = f"layer.{layer}", f"blocks.{layer}"
        yield f"{at}.gamma_1", tensors[f"{ours}.layer_scale1.lambda1"]
        yield f"{at}.gamma_2", tensors[f"{ours}.layer_scale2.lambda1"]
        yield from _both(f"{at}.norm1", tensors, f"{ours}.norm1")
        yield from _both(f"{at}.norm2", tensors, f"{ours}.norm2")
        yield f"{at}.attn.qkv.weight", _fused(tensors, f"{ours}.attention")
        if f"{ours}.attention.q_proj.bias" in tensors:
            yield f"{at}.attn.q_bias", tensors[f"{ours}.attention.q_proj.bias"]
            yield f"{at}.attn.v_bias", tensors[f"{ours}.attention.v_proj.bias"]
        yield from _both(f"{at}.attn.proj", tensors, f"{ours}.attention.o_proj")
        if f"{ours}.mlp.gate_proj.weight" in tensors:
            yield from _both(f"{at}.mlp.fc1_g", tensors, f"{ours}.mlp.gate_proj")
            yield from _both(f"{at}.mlp.fc1_x", tensors, f"{ours}.mlp.up_proj")
        else:
            yield from _both(f"{at}.mlp.fc1", tensors, f"{ours}.mlp.up_proj")
        yield from _both(f"{at}.mlp.fc2", tensors, f"{ours}.mlp.down_proj")


def _meta_vit(
    tensors: Tensors, head: int, mask: Mask, *, local_norm: bool
) -> Iterator[tuple[str, Any]]:
    yield from _vit_ends(tensors)
    yield "mask_token", tensors["embeddings.mask_token"].squeeze(0)
    yield "storage_tokens", tensors["embeddings.register_tokens"]
    periods = [100 ** (4 * k / head) for k in range(head // 4)]
    if head == len(PERIODS_64) * 4:
        periods = PERIODS_64
    yield "rope_embed.periods", torch.tensor(periods, dtype=torch.bfloat16)
    if local_norm:
        yield from _both("local_cls_norm", tensors, "norm")
    for layer in range(_layers(tensors)):
        ours, at = f"layer.{layer}", f"blocks.{layer}"
        yield f"{at}.ls1.gamma", tensors[f"{ours}.layer_scale1.lambda1"]
        yield f"{at}.ls2.gamma", tensors[f"{ours}.layer_scale2.lambda1"]
        yield from _both(f"{at}.norm1", tensors, f"{ours}.norm1")
        yield from _both(f"{at}.norm2", tensors, f"{ours}.norm2")
        yield f"{at}.attn.qkv.weight", _fused(tensors, f"{ours}.attention")
        if f"{ours}.attention.q_proj.bias" in tensors:
            yield from _meta_bias(tensors, ours, at, mask)
        yield from _both(f"{at}.attn.proj", tensors, f"{ours}.attention.o_proj")
        if f"{ours}.mlp.gate_proj.weight" in tensors:
            yield from _both(f"{at}.mlp.w1", tensors, f"{ours}.mlp.gate_proj")
            yield from _both(f"{at}.mlp.w2", tensors, f"{ours}.mlp.up_proj")
            yield from _both(f"{at}.mlp.w3", tensors, f"{ours}.mlp.down_proj")
        else:
            yield from _both(f"{at}.mlp.fc1", tensors, f"{ours}.mlp.up_proj")
            yield from _both(f"{at}.mlp.fc2", tensors, f"{ours}.mlp.down_proj")


def _meta_bias(
    tensors: Tensors, ours: str, at: str, mask: Mask
) -> Iterator[tuple[str, Any]]:
    q, v = (tensors[f"{ours}.attention.{name}_proj.bias"] for name in "qv")
    # What the keys' third holds is masked, so it may be anything.
    yield f"{at}.attn.qkv.bias", torch.cat([q, torch.full_like(q, 7), v])
    if mask == "absent":
        return
    kept = torch.tensor([1.0, 0.0, 1.0]).repeat_interleave(len(q))
    if mask == "nan":
        kept.fill_(torch.nan)
    yield f"{at}.attn.qkv.bias_mask", kept


def _stages(tensors: Tensors) -> Iterator[tuple[int, int]]:
    """Yield each stage and how many blocks it has."""
    for stage in range(4):
        gammas = (name.endswith("gamma") for name in tensors)
        names = (name.startswith(f"stages.{stage}.") for name in tensors)
        yield stage, sum(map(bool.__and__, gammas, names))


def _timm_convnext(tensors: Tensors) -> Iterator[tuple[str, Any]]:
    yield from _both("head.norm", tensors, "layer_norm")
    for stage, depth in _stages(tensors):
        down = f"stages.{stage}.downsample" if stage else "stem"
        for n in (0, 1):
            ours = f"stages.{stage}.downsample_layers.{n}"
            yield from _both(f"{down}.{n}", tensors, ours)
        for block in range(depth):
            ours, at = (
                f"stages.{stage}.layers.{block}",
                f"stages.{stage}.blocks.{block}",
            )
            yield from _both(f"{at}.conv_dw", tensors, f"{ours}.depthwise_conv")
            yield from _both(f"{at}.norm", tensors, f"{ours}.layer_norm")
            yield from _both(f"{at}.mlp.fc1", tensors, f"{ours}.pointwise_conv1")
            yield from _both(f"{at}.mlp.fc2", tensors, f"{ours}.pointwise_conv2")
            yield f"{at}.gamma", tensors[f"{ours}.gamma"]


def _meta_convnext(tensors: Tensors) -> Iterator[tuple[str, Any]]:
    yield from _both("norm", tensors, "layer_norm")
    yield from _both("norms.3", tensors, "layer_norm")
    for stage, depth in _stages(tensors):
        for n in (0, 1):
            ours = f"stages.{stage}.downsample_layers.{n}"
            yield from _both(f"downsample_layers.{stage}.{n}", tensors, ours)
        for block in range(depth):
            ours, at = f"stages.{stage}.layers.{block}", f"stages.{stage}.{block}"
            yield from _both(f"{at}.dwconv", tensors, f"{ours}.depthwise_conv")
            yield from _both(f"{at}.norm", tensors, f"{ours}.layer_norm")
            yield from _both(f"{at}.pwconv1", tensors, f"{ours}.pointwise_conv1")
            yield from _both(f"{at}.pwconv2", tensors, f"{ours}.pointwise_conv2")
            yield f"{at}.gamma", tensors[f"{ours}.gamma"]
