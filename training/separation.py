"""Whether patch tokens tell an object from what lies around it."""

from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import DINOv3ViTModel

from training.lessons import tensor
from training.pictures import Pictures
from training.student import MEAN, STD

SIDE: Final = 224
_PATCH: Final = 16
_OBJECT: Final = 112
_WHITE: Final = 245
_MOSTLY: Final = 0.5


def separation(model: Path, objects: Pictures, backgrounds: Pictures) -> float:
    """Return how well an object's patches are found again on another background.

    Each object, cut out of its white background, lies on two pictures at two places.
    The mean of its patch tokens on one is compared with every patch of the other.

    Returns:
        The mean over objects of the area under the ROC curve of these cosines: how
        often a patch of the object scores higher than one beside it; 0.5 is chance.
    """
    network = DINOv3ViTModel.from_pretrained(str(model), dtype=torch.float32).eval()  # pyright: ignore[reportUnknownMemberType] - transformers leaves it partly untyped
    draw = np.random.default_rng(0)
    found: list[float] = []
    for item in objects:
        chosen = draw.choice(len(backgrounds), 2, replace=False)
        shown, masks = zip(
            *(_composed(item, backgrounds[int(at)], draw) for at in chosen), strict=True
        )
        one, other = _patches(network, np.stack(shown))
        sought = one[masks[0]].mean(axis=0)
        found.append(area(other @ sought, masks[1]))
    return float(np.mean(found))


def area(scores: NDArray[np.float32], is_object: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve: the share of pairs in right order.

    Source: Mann & Whitney (1947); a draw counts for half.
    """
    inside, beside = scores[is_object], scores[~is_object]
    right = (inside[:, None] > beside).mean()
    return float(right + 0.5 * (inside[:, None] == beside).mean())


def _composed(
    item: Image.Image, background: Image.Image, draw: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Return pixels (SIDE, SIDE, 3), and of every patch whether it shows the object."""
    page = background.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    small = item.resize((_OBJECT, _OBJECT), Image.Resampling.BICUBIC)
    mask = Image.fromarray(
        (np.asarray(small).min(axis=2) < _WHITE).astype(np.uint8) * 255
    )
    left, top = (int(each) for each in draw.integers(0, SIDE - _OBJECT, 2))
    page.paste(small, (left, top), mask)
    whole = np.zeros((SIDE, SIDE))
    whole[top : top + _OBJECT, left : left + _OBJECT] = np.asarray(mask) / 255
    rows = SIDE // _PATCH
    share = whole.reshape(rows, _PATCH, rows, _PATCH).mean(axis=(1, 3))
    return np.asarray(page), (share > _MOSTLY).ravel()


@torch.no_grad()
def _patches(network: DINOv3ViTModel, shown: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return unit patch tokens (n, rows * columns, d)."""
    pixels = tensor(shown, torch.device("cpu")).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, STD))
    tokens = network((pixels - mean) / std).last_hidden_state
    patches = tokens[:, 1 + int(network.config.num_register_tokens) :]
    return torch.nn.functional.normalize(patches, dim=-1).numpy()
