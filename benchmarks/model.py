"""Write a DINOv3 ViT-S/16 with random weights: `-m benchmarks.model FOLDER LAYERS`.

Speed does not depend on what the weights are, so nothing needs to be downloaded.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import DINOv3ViTConfig, DINOv3ViTModel
from transformers.utils import logging as transformers_logging

# The values of the published LVD-1689M processors.
_PREPROCESSOR = {
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
    (folder / "preprocessor_config.json").write_text(json.dumps(_PREPROCESSOR))


if __name__ == "__main__":
    write_model(Path(sys.argv[1]), int(sys.argv[2]))
