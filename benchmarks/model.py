"""Write a DINOv3 ViT-S/16 with random weights: `-m benchmarks.model FOLDER LAYERS`.

Speed does not depend on what the weights are, so nothing needs to be downloaded.
"""

import shutil
import sys
from importlib import resources
from pathlib import Path

import torch
from transformers import DINOv3ViTConfig, DINOv3ViTModel
from transformers.utils import logging as transformers_logging


def write_model(folder: Path, layers: int) -> None:
    """Write the model in Hugging Face layout, float32, 224 px.

    Args:
        folder: made if absent.
        layers: transformer blocks; ViT-S/16 has 12.
    """
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType] - torch leaves it untyped
    config = DINOv3ViTConfig(
        hidden_size=384,
        intermediate_size=1536,
        num_hidden_layers=layers,
        num_attention_heads=6,
        num_register_tokens=4,
    )
    transformers_logging.disable_progress_bar()
    DINOv3ViTModel(config).save_pretrained(folder)  # pyright: ignore[reportUnknownMemberType] - its options are untyped
    bundled = Path(str(resources.files("dinoserve"))) / "engine" / "bundled"
    shutil.copy(bundled / "preprocessor_config.json", folder)


if __name__ == "__main__":
    write_model(Path(sys.argv[1]), int(sys.argv[2]))
