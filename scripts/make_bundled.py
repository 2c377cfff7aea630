"""Make the model that ships with dinoserve: `python scripts/make_bundled.py [FOLDER]`.

The real DINOv3 ViT architecture in the real file layout, with a seeded random
initialisation instead of trained weights. Every run gives the same tensors.
"""
# ruff: noqa: INP001 - a script stands alone, outside every package

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from transformers import DINOv3ViTConfig, DINOv3ViTModel

BUNDLED = Path(__file__).parents[1] / "src" / "dinoserve" / "engine" / "bundled"
SEED = 0
CONFIG: dict[str, object] = {
    "architectures": ["DINOv3ViTModel"],
    "model_type": "dinov3_vit",
    "dtype": "float16",
    "image_size": 224,
    "patch_size": 16,
    "num_channels": 3,
    "hidden_size": 192,
    "intermediate_size": 768,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "num_register_tokens": 4,
    "hidden_act": "gelu",
    "use_gated_mlp": False,
    "query_bias": True,
    "key_bias": False,
    "value_bias": True,
    "proj_bias": True,
    "mlp_bias": True,
    "layer_norm_eps": 1e-05,
    "layerscale_value": 1.0,
    "rope_theta": 100.0,
    "pos_embed_shift": None,
    "pos_embed_jitter": None,
    "pos_embed_rescale": 2.0,
    "attention_dropout": 0.0,
    "drop_path_rate": 0.0,
    "initializer_range": 0.02,
}
# The values of the published LVD-1689M processors.
PREPROCESSOR: dict[str, object] = {
    "image_processor_type": "DINOv3ViTImageProcessorFast",
    "do_resize": True,
    "size": {"height": 224, "width": 224},
    "resample": 2,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "data_format": "channels_first",
}


def initialise(name: str, shape: torch.Size, noise: torch.Generator) -> torch.Tensor:
    """Return the float32 values of one parameter.

    Matrices and filters are N(0, 1 / fan-in), which keeps activations at unit
    scale; LayerScale is 0.5; norm weights are 1; biases are N(0, 0.02²); the class,
    register and mask tokens are N(0, 0.5²).
    """
    if "layer_scale" in name:
        return torch.full(shape, 0.5)
    if "norm" in name and name.endswith("weight"):
        return torch.ones(shape)
    values = torch.randn(shape, generator=noise)
    if name.endswith(("token", "tokens")):
        return 0.5 * values
    if name.endswith("bias"):
        return 0.02 * values
    return values / shape[1:].numel() ** 0.5


def make(folder: Path) -> None:
    """Write `config.json`, `preprocessor_config.json` and `model.safetensors`."""
    noise = torch.Generator().manual_seed(SEED)
    with torch.device("meta"):
        config = DINOv3ViTConfig.from_dict(CONFIG)  # pyright: ignore[reportUnknownMemberType] - its options are untyped
        network = DINOv3ViTModel(config)
    tensors = {
        # In memory the layers lie under `model.`, in published files they do not.
        name.removeprefix("model."): initialise(name, value.shape, noise).half()
        for name, value in sorted(network.named_parameters())
    }
    folder.mkdir(parents=True, exist_ok=True)
    # `save_file` makes files that only their owner can read.
    weights = save(tensors, metadata={"format": "pt"})
    (folder / "model.safetensors").write_bytes(weights)
    _write_json(folder / "config.json", CONFIG)
    _write_json(folder / "preprocessor_config.json", PREPROCESSOR)


def _write_json(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if sys.argv[1:] else BUNDLED)
