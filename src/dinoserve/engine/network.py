"""The networks of transformers, filled from a folder or from tensors, strictly."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias, cast

import torch
from transformers import (
    DINOv3ConvNextConfig,
    DINOv3ConvNextModel,
    DINOv3ViTConfig,
    DINOv3ViTModel,
)
from transformers.utils import logging as transformers_logging

from dinoserve.engine.architectures import Architecture
from dinoserve.engine.checkpoints import listed
from dinoserve.engine.model_folder import ModelFolder

Network: TypeAlias = DINOv3ViTModel | DINOv3ConvNextModel

NETWORKS: Mapping[str, type[Network]] = {
    "dinov3_vit": DINOv3ViTModel,
    "dinov3_convnext": DINOv3ConvNextModel,
}
_CONFIGS: Mapping[str, type[DINOv3ViTConfig | DINOv3ConvNextConfig]] = {
    "dinov3_vit": DINOv3ViTConfig,
    "dinov3_convnext": DINOv3ConvNextConfig,
}


class TokenLayout(NamedTuple):
    """How pictures become tokens.

    Attributes:
        stride_px: side of the square of pixels behind one patch token.
        prefix_tokens: tokens in front of the patches: the class token and registers.
        dimension: numbers in a vector.
    """

    stride_px: int
    prefix_tokens: int
    dimension: int


def read_network(folder: ModelFolder, kind: str) -> Network:
    """Return the network of a folder in Hugging Face layout.

    In float32 on the CPU, in evaluation mode, without gradients.

    Args:
        folder: holds `config.json` and the weights.
        kind: one of `NETWORKS`.

    Raises:
        ModelUnavailableError: the configuration describes none, or not these tensors.
    """
    return _filled(folder, kind, folder.path)


def make_network(
    folder: ModelFolder,
    architecture: Architecture,
    tensors: Mapping[str, torch.Tensor],
) -> Network:
    """Return the network of these tensors; they become its own, without a copy.

    In float32 on the CPU, in evaluation mode, without gradients.

    Args:
        folder: where they come from; errors name it.
        architecture: what to build.
        tensors: float32, by Hugging Face's names.

    Raises:
        ModelUnavailableError: the architecture cannot be built, or not of these.
    """
    config = _CONFIGS[architecture.kind](**architecture.config())
    return _filled(folder, architecture.kind, None, config, dict(tensors))


def token_layout(network: Network) -> TokenLayout:
    """Return how this network makes tokens of pictures."""
    if isinstance(network, DINOv3ViTModel):
        stem = network.embeddings.patch_embeddings
        registers = network.embeddings.register_tokens.shape[1]
        return TokenLayout(stem.stride[0], 1 + registers, stem.out_channels)
    # A stem of stride 4, then every later stage halves (arXiv 2201.03545 §2.2).
    stages = len(network.model.stages)
    (width,) = network.layer_norm.normalized_shape
    return TokenLayout(4 * 2 ** (stages - 1), 1, width)


def _filled(
    folder: ModelFolder,
    kind: str,
    place: Path | None,
    config: DINOv3ViTConfig | DINOv3ConvNextConfig | None = None,
    tensors: dict[str, torch.Tensor] | None = None,
) -> Network:
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        loaded: object = NETWORKS[kind].from_pretrained(  # pyright: ignore[reportUnknownMemberType] - transformers leaves it untyped
            place,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            # Said here, because a config.json may name a kernel to download instead.
            attn_implementation="sdpa" if kind == "dinov3_vit" else "eager",
            # The report names such tensors, the exception of this library does not.
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            config=config,
            state_dict=tensors,
        )
    except Exception as error:  # a strange config.json can make it raise anything
        reason = str(error).strip().partition("\n")[0][:200]
        raise folder.unavailable(
            f"config.json does not describe a model that can be built ({reason})"
        ) from error
    network, report = cast("tuple[Network, Mapping[str, set[object]]]", loaded)
    _check_fit(folder, report)
    return network.eval().requires_grad_(requires_grad=False)


def _check_fit(folder: ModelFolder, report: Mapping[str, set[object]]) -> None:
    found = {
        "missing": report["missing_keys"],
        "not expected": report["unexpected_keys"],
        "of another shape": report["mismatched_keys"],
    }
    faults = [
        f"{listed(sorted(map(str, names)))} {what}"
        for what, names in found.items()
        if names
    ]
    if faults:
        raise folder.unavailable(
            f"the tensors do not fit config.json: {'; '.join(faults)}"
        )
