"""Small and large DINOv3 models with random weights, in the real file layout.

The weights are chosen so that a wrong mapping shows: an initialised LayerScale of 1,
norm of 1 or bias of 0 would hide a tensor that landed in the wrong place.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from transformers import (
    DINOv3ConvNextConfig,
    DINOv3ConvNextModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
    PreTrainedModel,
)
from transformers.utils import logging as transformers_logging

PREPROCESSOR: Mapping[str, object] = {
    "image_processor_type": "DINOv3ViTImageProcessorFast",
    "do_resize": True,
    "size": {"height": 224, "width": 224},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}


def make_vit(  # noqa: PLR0913 - the sizes that tell DINOv3's ViTs apart
    folder: Path,
    *,
    hidden: int = 64,
    layers: int = 2,
    heads: int = 2,
    intermediate: int | None = None,
    swiglu: bool = False,
    qv_bias: bool = True,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    max_shard: str = "50GB",
) -> Path:
    """Write a ViT of patch 16 with 4 registers; return its folder.

    Args:
        folder: made if absent.
        hidden: numbers in a vector; `heads` must divide it, by a multiple of 4.
        layers: transformer blocks.
        heads: attention heads.
        intermediate: width inside the MLP; None is four times `hidden`.
        swiglu: the gated MLP of S+, H+ and 7B.
        qv_bias: whether queries and values have a bias; on the 7B they have none.
        seed: the same seed gives the same weights.
        dtype: precision on disk.
        max_shard: size beyond which the weights are split into several files.
    """
    config = DINOv3ViTConfig(
        hidden_size=hidden,
        intermediate_size=intermediate or 4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_register_tokens=4,
        hidden_act="silu" if swiglu else "gelu",
        use_gated_mlp=swiglu,
        query_bias=qv_bias,
        value_bias=qv_bias,
    )
    return _save(DINOv3ViTModel(config), folder, seed, dtype, max_shard)


def make_convnext(
    folder: Path,
    *,
    widths: Sequence[int] = (8, 16, 24, 32),
    depths: Sequence[int] = (1, 1, 2, 1),
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write a ConvNeXt of stride 32; return its folder.

    Args:
        folder: made if absent.
        widths: channels of the four stages; the last is numbers in a vector.
        depths: blocks of the four stages.
        seed: the same seed gives the same weights.
        dtype: precision on disk.
    """
    config = DINOv3ConvNextConfig(hidden_sizes=list(widths), depths=list(depths))
    return _save(DINOv3ConvNextModel(config), folder, seed, dtype, "50GB")


def _save(
    network: PreTrainedModel,
    folder: Path,
    seed: int,
    dtype: torch.dtype,
    max_shard: str,
) -> Path:
    _randomise(network, seed)
    network.to(dtype)  # pyright: ignore[reportArgumentType, reportUnknownMemberType] - transformers wraps it untyped
    transformers_logging.disable_progress_bar()
    network.save_pretrained(folder, max_shard_size=max_shard)  # pyright: ignore[reportUnknownMemberType] - its options are untyped
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    return folder


def _randomise(network: PreTrainedModel, seed: int) -> None:
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in sorted(network.named_parameters()):
            _fill(name, value, noise)


def _fill(name: str, value: torch.Tensor, noise: torch.Generator) -> None:
    if "layer_scale" in name or "gamma" in name:
        value.uniform_(0.1, 0.5, generator=noise)
    elif "norm" in name and name.endswith("weight"):
        value.uniform_(0.8, 1.2, generator=noise)
    elif name.endswith("bias"):
        value.uniform_(-0.1, 0.1, generator=noise)
    elif name.endswith(("token", "tokens")):
        value.normal_(0, 0.5, generator=noise)
    else:
        value.normal_(0, value[0].numel() ** -0.5, generator=noise)
