"""From a course to a folder in Hugging Face's layout; checks what float16 costs."""

import json
from pathlib import Path
from typing import Final, cast

import torch
from safetensors.torch import load_file, save_file  # pyright: ignore[reportUnknownVariableType] - paths are partly untyped
from torch.nn import functional
from transformers import DINOv3ViTModel

from training.student import MEAN, STD, Student

LEAST_COSINE: Final = 0.999
_DROPPED: Final = "embeddings.mask_token"


def export(student: Student, folder: Path, size: int) -> float:
    """Write weights as float16 with both configurations; return the least cosine.

    Args:
        student: whose backbone is written.
        folder: is made, where there is none.
        size: pixels of a side that pictures are shown at by default.

    Raises:
        ValueError: what was written embeds otherwise than what was trained.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = student.backbone.state_dict()
    half = {name: value.half().contiguous() for name, value in state.items()}
    save_file(half, folder / "model.safetensors", {"format": "pt"})
    told = cast("dict[str, object]", student.backbone.config.to_dict())
    config = told | {
        "architectures": ["DINOv3ViTModel"],
        "dtype": "float16",
    }
    _write(folder / "config.json", config)
    _write(folder / "preprocessor_config.json", _preprocessing(size))
    least = _least_cosine(student, folder, size)
    if least < LEAST_COSINE:
        raise ValueError(f"float16 changes embeddings: cosine {least:.5f}")
    return least


def _least_cosine(student: Student, folder: Path, size: int) -> float:
    backbone = student.backbone.eval()
    again = DINOv3ViTModel(backbone.config).eval()
    again.load_state_dict(
        {k: v.float() for k, v in load_file(folder / "model.safetensors").items()}
    )
    pixels = torch.randn(16, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, other = (each(pixels).last_hidden_state for each in (backbone, again))
    return float(functional.cosine_similarity(one, other, dim=-1).min())


def _preprocessing(size: int) -> dict[str, object]:
    return {
        "image_processor_type": "DINOv3ViTImageProcessorFast",
        "do_resize": True,
        "size": {"height": size, "width": size},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(MEAN),
        "image_std": list(STD),
        "data_format": "channels_first",
    }


def _write(path: Path, values: dict[str, object]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n")
