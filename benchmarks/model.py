"""A DINOv3 ViT-S/16 with random weights: `-m benchmarks.model FOLDER LAYERS`.

Speed does not depend on what the weights are, so nothing needs to be downloaded.
"""

import shutil
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

WIDTH = 384
"""Numbers in a token."""
HIDDEN = 1536
"""Numbers in the middle of the two-layer perceptron."""
SIDE_PX = 224
_PATCH_PX = 16
_REGISTERS = 4
_PATCHES = (SIDE_PX // _PATCH_PX) ** 2
TOKENS = 1 + _REGISTERS + _PATCHES
"""Of a picture: the class token, registers and patches."""


def flop(layers: int) -> float:
    """Return the operations of one forward of one picture, two a multiply-add.

    Args:
        layers: transformer blocks; 12 give 9.4e9.

    Source:
        counted from the architecture: patches in, then for each block four square
        products, the perceptron, and both products of attention. Norms, activations,
        rotation and softmax are left out, as is usual.
    """
    embedding = _PATCHES * 3 * _PATCH_PX**2 * WIDTH
    projections = TOKENS * 4 * WIDTH**2
    perceptron = TOKENS * 2 * WIDTH * HIDDEN
    attention = 2 * TOKENS**2 * WIDTH
    return 2.0 * (embedding + layers * (projections + perceptron + attention))


def write_model(folder: Path, layers: int) -> None:
    """Write the model in Hugging Face layout, float32, 224 px.

    Args:
        folder: made if absent.
        layers: transformer blocks; ViT-S/16 has 12.
    """
    # Here, because who measures needs the shapes above but must not hold torch.
    import torch  # noqa: PLC0415
    from transformers import DINOv3ViTConfig, DINOv3ViTModel  # noqa: PLC0415
    from transformers.utils import logging  # noqa: PLC0415

    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType] - torch leaves it untyped
    config = DINOv3ViTConfig(
        hidden_size=WIDTH,
        intermediate_size=HIDDEN,
        num_hidden_layers=layers,
        num_attention_heads=6,
        num_register_tokens=_REGISTERS,
    )
    logging.disable_progress_bar()
    network = DINOv3ViTModel(config)
    with torch.no_grad():
        for name, value in network.named_parameters():
            _spread(name, value)
    network.save_pretrained(folder)  # pyright: ignore[reportUnknownMemberType] - its options are untyped
    bundled = Path(str(resources.files("dinoserve"))) / "engine" / "bundled"
    shutil.copy(bundled / "preprocessor_config.json", folder)


def _spread(name: str, value: "torch.Tensor") -> None:
    """Give what begins as 0 or 1 values of the order that training gives it.

    With every LayerScale 1, as it begins, the noise of int8 grows from block to block
    as in no trained model, and the gate would rightly refuse to serve it.
    """
    if "layer_scale" in name:
        value.uniform_(0.1, 0.5)
    elif "token" in name:
        value.normal_(std=0.5)
    elif "norm" in name and name.endswith("weight"):
        value.uniform_(0.8, 1.2)
    elif name.endswith("bias"):
        value.uniform_(-0.1, 0.1)


if __name__ == "__main__":
    write_model(Path(sys.argv[1]), int(sys.argv[2]))
