"""Views of pictures: crops that teacher and student see, and how a student's are bent.

A crop is drawn when it is prepared; what a student sees of it is drawn at every step.
"""

import math
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

_SCALE: Final = (0.25, 1.0)
_RATIO: Final = (3 / 4, 4 / 3)
_ROTATED: Final = 15.0
_BARRED: Final = 0.2


def crop(picture: Image.Image, draw: np.random.Generator) -> Image.Image:
    """Return a part of the picture, mirrored half of the time.

    Its share of the area is 0.25 to 1, its sides' ratio 3:4 to 4:3, as far as the
    picture allows.
    """
    width, height = picture.size
    area = width * height * draw.uniform(*_SCALE)
    ratio = math.exp(draw.uniform(math.log(_RATIO[0]), math.log(_RATIO[1])))
    wide = min(width, max(1, round(float(np.sqrt(area * ratio)))))
    high = min(height, max(1, round(float(np.sqrt(area / ratio)))))
    left = int(draw.integers(0, width - wide + 1))
    top = int(draw.integers(0, height - high + 1))
    part = picture.crop((left, top, left + wide, top + high))
    if draw.random() < 0.5:  # noqa: PLR2004 - a coin
        return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return part


def pixels_of(part: Image.Image, size: int) -> NDArray[np.uint8]:
    """Return uint8 RGB (size, size, 3)."""
    return np.asarray(part.resize((size, size), Image.Resampling.BICUBIC))


def coloured(pixels: Tensor, strength: float) -> Tensor:
    """Return pixels in [0, 1] with other gains a channel, contrast and brightness.

    Args:
        pixels: (n, 3, h, w), in [0, 1].
        strength: gains are 1 ± this, contrast 1 ± twice this.
    """
    n = len(pixels)
    gains = 1 + strength * _signed(n, 3)
    contrast = 1 + 2 * strength * _signed(n, 1)
    brightness = 1 + 2 * strength * _signed(n, 1)
    grey = pixels.mean(dim=(1, 2, 3), keepdim=True)
    bent = (pixels - grey) * contrast + grey
    return (bent * gains * brightness).clamp(0, 1)


def bent(pixels: Tensor) -> Tensor:
    """Return pixels as somebody may pass a picture on.

    Each is, by chance: mirrored, rotated, cropped; recoloured; made small and large
    again; covered by a bar with blocks.

    Args:
        pixels: (n, 3, h, w), in [0, 1].
    """
    moved = _moved(pixels)
    recoloured = coloured(moved, 0.25)
    for part in torch.randperm(len(moved)).chunk(8)[:3]:
        recoloured[part] = _blurred(recoloured[part])
    for at in torch.nonzero(torch.rand(len(moved)) < _BARRED).flatten():
        recoloured[at] = _barred(recoloured[at])
    return recoloured


def _moved(pixels: Tensor) -> Tensor:
    n = len(pixels)
    turned = torch.deg2rad(_ROTATED * _signed(n).flatten())
    turned = torch.where(torch.rand(n) < 0.5, turned, torch.zeros(n))  # noqa: PLR2004 - a coin
    zoom = 1 - 0.35 * torch.rand(n)
    side = torch.where(torch.rand(n) < 0.5, 1.0, -1.0)  # noqa: PLR2004 - a coin
    free = (1 - zoom)[:, None] * _signed(n, 2).flatten(1)
    cos, sin = torch.cos(turned) * zoom, torch.sin(turned) * zoom
    rows = torch.stack([cos * side, -sin, free[:, 0], sin * side, cos, free[:, 1]], 1)
    shape = list(pixels.shape)
    grid = functional.affine_grid(
        rows.view(n, 2, 3).to(pixels), shape, align_corners=False
    )
    return functional.grid_sample(
        pixels, grid, padding_mode="zeros", align_corners=False
    )


def _blurred(pixels: Tensor) -> Tensor:
    size = pixels.shape[-2:]
    factor = 1 / float(torch.empty(()).uniform_(1.5, 6))
    small = functional.interpolate(
        pixels, scale_factor=factor, mode="bilinear", antialias=True
    )
    return functional.interpolate(small, size=size, mode="bilinear")


def _barred(pixels: Tensor) -> Tensor:
    _, height, width = pixels.shape
    high = max(2, round(0.15 * height))
    top = int(torch.randint(0, height - high + 1, ()))
    covered = pixels.clone()
    covered[:, top : top + high] = 1.0
    step = max(2, width // 16)
    for left in range(step, width - step, 2 * step):
        covered[:, top + high // 4 : top + high - high // 4, left : left + step] = 0.0
    return covered


def _signed(n: int, channels: int = 1) -> Tensor:
    return 2 * torch.rand(n, channels, 1, 1) - 1
