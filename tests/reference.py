"""DINOv3's forward passes in float64, written down from their definition.

Sources: the DINOv3 paper (arXiv 2508.10104, §3.2 and appendix C) for the ViT, the
ConvNeXt paper (arXiv 2201.03545, §2) for the ConvNeXt. They read the published files
by their own key names and share no code with the library that serves them.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import (
    load_file,  # pyright: ignore[reportUnknownVariableType] - a bare PathLike
)
from torch.nn import functional

_PATCH = 16
_REGISTERS = 4


def class_tokens(folder: Path, pixels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the normed class tokens, float64 (n, d), of pixels (n, 3, H, W)."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    tensors = load_file(folder / "model.safetensors")
    weights = _Weights({key: tensor.double() for key, tensor in tensors.items()})
    images = torch.tensor(pixels, dtype=torch.float64)
    if config["model_type"] == "dinov3_vit":
        return _vit(weights, images, config["num_attention_heads"]).numpy()
    return _convnext(weights, images).numpy()


@dataclass(frozen=True)
class _Weights:
    """Tensors by key, and the layers they parametrise."""

    tensors: Mapping[str, torch.Tensor]

    def __getitem__(self, key: str) -> torch.Tensor:
        return self.tensors[key]

    def linear(self, key: str, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(
            x, self[f"{key}.weight"], self.tensors.get(f"{key}.bias")
        )

    def norm(self, key: str, x: torch.Tensor, eps: float) -> torch.Tensor:
        centred = x - x.mean(-1, keepdim=True)
        unit = centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()
        return unit * self[f"{key}.weight"] + self[f"{key}.bias"]

    def convolve(self, key: str, x: torch.Tensor, **how: int) -> torch.Tensor:
        return functional.conv2d(x, self[f"{key}.weight"], self[f"{key}.bias"], **how)


def _layers(weights: _Weights, prefix: str) -> int:
    at = prefix.count(".")
    return 1 + max(
        int(key.split(".")[at]) for key in weights.tensors if key.startswith(prefix)
    )


def _vit(weights: _Weights, images: torch.Tensor, heads: int) -> torch.Tensor:
    grid = weights.convolve("embeddings.patch_embeddings", images, stride=_PATCH)
    count, width, rows, columns = grid.shape
    prefix = torch.cat(
        [weights["embeddings.cls_token"], weights["embeddings.register_tokens"]], 1
    ).expand(count, -1, -1)
    x = torch.cat([prefix, grid.flatten(2).mT], 1)
    angles = _angles(rows, columns, width // heads)
    for layer in range(_layers(weights, "layer.")):
        x = _block(weights, f"layer.{layer}.", x, heads, angles)
    return weights.norm("norm", x, 1e-5)[:, 0]


def _angles(rows: int, columns: int, head: int) -> torch.Tensor:
    """Return (rows * columns, head / 2) radians: of the row, then of the column."""
    periods = 100.0 ** (torch.arange(head // 4).double() / (head // 4))
    y, x = ((torch.arange(n).double() + 0.5) / n * 2 - 1 for n in (rows, columns))
    by_row = 2 * math.pi * y[:, None, None] / periods
    by_column = 2 * math.pi * x[None, :, None] / periods
    shape = (rows, columns, head // 4)
    pair = [by_row.expand(shape), by_column.expand(shape)]
    return torch.cat(pair, -1).flatten(0, 1)


def _block(
    weights: _Weights, key: str, x: torch.Tensor, heads: int, angles: torch.Tensor
) -> torch.Tensor:
    attended = _attend(
        weights, key, weights.norm(f"{key}norm1", x, 1e-5), heads, angles
    )
    x = x + attended * weights[f"{key}layer_scale1.lambda1"]
    hidden = _mlp(weights, f"{key}mlp.", weights.norm(f"{key}norm2", x, 1e-5))
    return x + hidden * weights[f"{key}layer_scale2.lambda1"]


def _attend(
    weights: _Weights, key: str, x: torch.Tensor, heads: int, angles: torch.Tensor
) -> torch.Tensor:
    def project(name: str) -> torch.Tensor:
        projected = weights.linear(f"{key}attention.{name}_proj", x)
        return projected.view(*x.shape[:2], heads, -1).transpose(1, 2)

    queries, keys = (_rotate(project(name), angles) for name in "qk")
    scores = queries @ keys.mT / queries.shape[-1] ** 0.5
    mixed = scores.softmax(-1) @ project("v")
    return weights.linear(f"{key}attention.o_proj", mixed.transpose(1, 2).flatten(2))


def _rotate(x: torch.Tensor, angles: torch.Tensor) -> torch.Tensor:
    """Turn the patches' pairs (j, j + head / 2); class token and registers stay."""
    prefix, patches = x[:, :, : 1 + _REGISTERS], x[:, :, 1 + _REGISTERS :]
    real, imaginary = patches.chunk(2, -1)
    turned = torch.complex(real, imaginary) * torch.polar(
        torch.ones_like(angles), angles
    )
    return torch.cat([prefix, torch.cat([turned.real, turned.imag], -1)], 2)


def _mlp(weights: _Weights, key: str, x: torch.Tensor) -> torch.Tensor:
    up = weights.linear(f"{key}up_proj", x)
    if f"{key}gate_proj.weight" in weights.tensors:
        gate = weights.linear(f"{key}gate_proj", x)
        return weights.linear(f"{key}down_proj", gate * gate.sigmoid() * up)
    return weights.linear(f"{key}down_proj", _gelu(up))


def _gelu(x: torch.Tensor) -> torch.Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def _convnext(weights: _Weights, images: torch.Tensor) -> torch.Tensor:
    x = images
    for stage in range(_layers(weights, "stages.")):
        key = f"stages.{stage}."
        x = _downsample(weights, f"{key}downsample_layers.", x, is_stem=stage == 0)
        for layer in range(_layers(weights, f"{key}layers.")):
            x = x + _residual(weights, f"{key}layers.{layer}.", x)
    return weights.norm("layer_norm", x.mean((2, 3)), 1e-6)


def _downsample(
    weights: _Weights, key: str, x: torch.Tensor, *, is_stem: bool
) -> torch.Tensor:
    if is_stem:
        x = weights.convolve(f"{key}0", x, stride=4)
        return _over_channels(lambda y: weights.norm(f"{key}1", y, 1e-6), x)
    x = _over_channels(lambda y: weights.norm(f"{key}0", y, 1e-6), x)
    return weights.convolve(f"{key}1", x, stride=2)


def _residual(weights: _Weights, key: str, x: torch.Tensor) -> torch.Tensor:
    x = weights.convolve(f"{key}depthwise_conv", x, padding=3, groups=x.shape[1])

    def mix(y: torch.Tensor) -> torch.Tensor:
        y = weights.norm(f"{key}layer_norm", y, 1e-6)
        y = _gelu(weights.linear(f"{key}pointwise_conv1", y))
        return weights.linear(f"{key}pointwise_conv2", y) * weights[f"{key}gamma"]

    return _over_channels(mix, x)


def _over_channels(
    function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor
) -> torch.Tensor:
    return function(x.movedim(1, -1)).movedim(-1, 1)
