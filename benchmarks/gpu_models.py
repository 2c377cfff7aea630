"""DINOv3 ViTs made in memory, with weights that hide no mistake."""

from pathlib import Path

import torch
from transformers import DINOv3ViTConfig, DINOv3ViTModel

from dinoserve.engine.architectures import PATCH_PX, REGISTERS, ViT
from dinoserve.engine.weights import LoadedModel

_COLOURS = 3


def make(name: str, sizes: ViT) -> LoadedModel:
    """Return a model of these sizes, float32 on the CPU.

    The weights are random, and none is what an initialisation would make it: LayerScale
    is not 1, norms are not 1, no bias is 0.
    """
    config = DINOv3ViTConfig(**sizes.config())
    config._attn_implementation = "sdpa"  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - as `engine.network` loads it
    network = DINOv3ViTModel(config).eval().requires_grad_(requires_grad=False)
    noise = torch.Generator().manual_seed(0)
    for part, value in sorted(network.named_parameters()):
        _fill(part, value, noise)
    return LoadedModel(
        network=network,
        folder=Path(),
        name=name,
        revision="random",
        weights_sha256="",
        config_sha256="",
        kind="dinov3_vit",
        preprocessor={},
        note="",
        licence="",
        stride_px=PATCH_PX,
        prefix_tokens=1 + REGISTERS,
        parameters=sum(value.numel() for value in network.parameters()),
        dimension=sizes.hidden,
    )


def gflop(sizes: ViT, side_px: int) -> float:
    """Return the floating-point operations of a picture, in 10^9.

    A multiplication with its addition counts as two. Only products of matrices count:
    patches, projections, attention, MLP; so 9.4, 35.9 and 125.7 for S, B, L at 224.
    """
    patches = (side_px // PATCH_PX) ** 2
    tokens = patches + 1 + REGISTERS
    width = sizes.hidden
    matrices = 3 if sizes.swiglu else 2
    block = tokens * width * (4 * width + matrices * sizes.intermediate)
    block += 2 * tokens**2 * width
    stem = patches * _COLOURS * PATCH_PX**2 * width
    return 2 * (stem + sizes.layers * block) / 1e9


def _fill(name: str, value: torch.Tensor, noise: torch.Generator) -> None:
    if "layer_scale" in name:
        value.uniform_(0.1, 0.5, generator=noise)
    elif "norm" in name and name.endswith("weight"):
        value.uniform_(0.8, 1.2, generator=noise)
    elif name.endswith("bias"):
        value.uniform_(-0.1, 0.1, generator=noise)
    elif name.endswith(("token", "tokens")):
        value.normal_(0, 0.5, generator=noise)
    else:
        value.normal_(0, value[0].numel() ** -0.5, generator=noise)
