"""The student: a small DINOv3 ViT with heads that only its lessons need."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor, nn
from transformers import DINOv3ViTConfig, DINOv3ViTModel

from training.lessons import KEPT
from training.teacher import CLASSES

CONFIG: Final[Mapping[str, Any]] = {
    "hidden_size": 192,
    "intermediate_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 3,
    "num_register_tokens": 4,
    "image_size": 224,
    "patch_size": 16,
    "layerscale_value": 1.0,
    "pos_embed_rescale": 2.0,
}
"""5.49 million parameters: 11.0 MB as float16."""

MEAN: Final = (0.485, 0.456, 0.406)
STD: Final = (0.229, 0.224, 0.225)


class Answer(NamedTuple):
    """What a student makes of a batch; float32.

    Attributes:
        cls: (n, 192), the embedding before it is made a unit vector.
        logits: (n, 1000), of the teacher's classes.
        patches: (n, rows, columns, 192), in the coordinates of the teacher's cells.
    """

    cls: Tensor
    logits: Tensor
    patches: Tensor


class Student(nn.Module):
    """The backbone that is shipped, and two heads that are not."""

    def __init__(self, config: Mapping[str, Any] = CONFIG) -> None:
        super().__init__()
        self.backbone = DINOv3ViTModel(DINOv3ViTConfig(**config))
        width = int(config["hidden_size"])
        self.classes = nn.Linear(width, CLASSES)
        self.cells = nn.Linear(width, KEPT)
        self.patch = int(config["patch_size"])
        self.registers = int(config["num_register_tokens"])

    def forward(self, pixels: Tensor) -> Answer:
        """Return the answer to pixels (n, 3, h, w) in [0, 1]."""
        mean, std = (
            torch.tensor(each, device=pixels.device).view(3, 1, 1)
            for each in (MEAN, STD)
        )
        with torch.autocast(pixels.device.type, torch.bfloat16):
            tokens = self.backbone((pixels - mean) / std).last_hidden_state
            cells = self.cells(tokens[:, 1 + self.registers :])
            logits = self.classes(tokens[:, 0])
        rows, columns = (side // self.patch for side in pixels.shape[-2:])
        patches = cells.float().unflatten(1, (rows, columns))
        return Answer(tokens[:, 0].float(), logits.float(), patches)
