"""From 8-bit RGB to the normalised pixels that a DINOv3 model takes."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from dinoserve.domain.framing import Framing, check_framing, read_framing
from dinoserve.domain.geometry import Geometry
from dinoserve.engine.resample import resample, resample_rounded
from dinoserve.errors import InvalidInputError, ModelUnavailableError

Rule: TypeAlias = Literal["hf", "readme"]
Triple: TypeAlias = tuple[float, float, float]

LVD_MEAN: Triple = (0.485, 0.456, 0.406)
LVD_STD: Triple = (0.229, 0.224, 0.225)
SAT_MEAN: Triple = (0.430, 0.411, 0.296)
SAT_STD: Triple = (0.213, 0.156, 0.143)
_NAMES = {(LVD_MEAN, LVD_STD): "lvd", (SAT_MEAN, SAT_STD): "sat"}
_README_PX = 256
_HF_PX = 224
_SCALE = 1 / 255  # 8-bit values to [0, 1]
_BILINEAR = 2  # PIL.Image.Resampling.BILINEAR, as the files write it
# What each entry may say; () is anything, because it changes no pixel here.
_STEPS: Mapping[str, tuple[object, ...]] = {
    "image_processor_type": ("DINOv3ViTImageProcessor", "DINOv3ViTImageProcessorFast"),
    "do_resize": (True,),
    "do_rescale": (True,),
    "do_normalize": (True,),
    "do_center_crop": (False,),
    "do_pad": (False,),
    "resample": (_BILINEAR,),
    "rescale_factor": (_SCALE,),
    "size": (),
    "image_mean": (),
    "image_std": (),
    "crop_size": (),  # without do_center_crop
    "pad_size": (),  # without do_pad
    "do_convert_rgb": (),  # pixels are RGB already
    "default_to_square": (),  # for a size that is one number
    "data_format": (),
    "input_data_format": (),
    "device": (),
    "disable_grouping": (),
    "return_tensors": (),
}


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How pixels are prepared; vectors of two preparations never meet.

    Attributes:
        rule: `hf` scales to [0, 1], then resizes; `readme` resizes the 8-bit
            pixels, then scales.
        framing: size and fit of the result.
        mean: of red, green, blue, in [0, 1]; taken off after scaling.
        std: of red, green, blue; divides what is left.
    """

    rule: Rule
    framing: Framing
    mean: Triple
    std: Triple

    @property
    def id(self) -> str:
        """Return rule, size, fit, constants and version, by name or hash.

        `squash` is not told: it is what a size without a fit means.
        """
        size, fit = read_framing(*self.framing)
        parts = [self.rule, size.replace(":", "")]
        if fit != "squash":
            parts.append(fit)
        return "-".join([*parts, self._constants, "v1"])

    def with_framing(self, framing: Framing) -> "Preprocessing":
        """Return the same rule and constants at another size and fit.

        Raises:
            InvalidInputError: there is no such size or fit.
        """
        return replace(self, framing=read_framing(*framing))

    @property
    def _constants(self) -> str:
        if name := _NAMES.get((self.mean, self.std)):
            return name
        return hashlib.sha256(repr((self.mean, self.std)).encode()).hexdigest()[:8]


def from_config(
    rule: Rule, config: Mapping[str, object], multiple_px: int
) -> Preprocessing:
    """Return what a model folder's `preprocessor_config.json` asks for.

    Args:
        rule: `hf` obeys the whole file; `readme` takes mean and std from it and
            resizes to 256 x 256.
        config: the file's contents; absent or null entries are the defaults of
            transformers 5.23, `DINOv3ViTImageProcessor`.
        multiple_px: what both sides must be a multiple of: 16 for a ViT, 32 for a
            ConvNeXt, which would otherwise drop the rest without a word.

    Raises:
        ModelUnavailableError: an entry asks for what is not supported; it is named.
    """
    given = {name: value for name, value in config.items() if value is not None}
    height, width = _README_PX, _README_PX
    if rule == "hf":
        _check_steps(given)
        height, width = _size(given.get("size", {"height": _HF_PX, "width": _HF_PX}))
    framing = _framing(height, width, multiple_px)
    mean = _triple("image_mean", given.get("image_mean", LVD_MEAN))
    std = _triple("image_std", given.get("image_std", LVD_STD))
    if not all(0 < value < math.inf for value in std):
        raise _unsupported("image_std", list(std), "three positive numbers")
    return Preprocessing(rule, framing, mean, std)


def _framing(height: int, width: int, multiple_px: int) -> Framing:
    try:
        return check_framing(Framing(f"{height}x{width}", "squash"), multiple_px)
    except InvalidInputError as error:
        supported = f"multiples of {multiple_px}, of reasonable size"
        raise _unsupported("size", f"{height} x {width}", supported) from error


def _check_steps(given: Mapping[str, object]) -> None:
    for name, value in given.items():
        if name not in _STEPS:
            raise _unsupported(name, value, "no such entry")
        allowed = _STEPS[name]
        if allowed and value not in allowed:
            raise _unsupported(name, value, " or ".join(map(json.dumps, allowed)))


def _size(value: object) -> tuple[int, int]:
    match value:
        case {"height": int(height), "width": int(width)} if (
            value == {"height": height, "width": width} and min(height, width) > 0
        ):
            return height, width
        case _:
            raise _unsupported("size", value, '{"height": …, "width": …}')


def _triple(name: str, value: object) -> Triple:
    match value:
        case [int() | float() as r, int() | float() as g, int() | float() as b] if all(
            map(math.isfinite, (r, g, b))
        ):
            return float(r), float(g), float(b)
        case _:
            raise _unsupported(name, value, "three finite numbers")


def _unsupported(name: str, value: object, supported: str) -> ModelUnavailableError:
    return ModelUnavailableError(
        f"The model's preprocessor_config.json has {name} = {value}; supported is"
        f" {supported}. Use a DINOv3 model's own file, or set"
        " DINOSERVE_PREPROCESSING=readme, which takes only mean and std from it.",
        entry=name,
    )


def to_pixels(
    rgb: NDArray[np.uint8], geometry: Geometry, how: Preprocessing
) -> NDArray[np.float32]:
    """Return float32 (3, height, width) of the geometry, normalised; padding is zero.

    Zero is the mean colour.

    Args:
        rgb: uint8 (h, w, 3), the whole picture, any size from 1 x 1.
        geometry: which part of it goes where.
        how: rule and constants.

    Source:
        `hf`: transformers 5.23, `DINOv3ViTImageProcessor._preprocess`;
        `readme`: facebookresearch/dinov3, README, "Image transforms".
    """
    left, top, right, bottom = map(int, geometry.source)
    part = rgb[top:bottom, left:right]
    left, top, right, bottom = map(int, geometry.content)
    resize = resample if how.rule == "hf" else resample_rounded
    levels = resize(part, bottom - top, right - left)
    shift, scale = _constants(how.mean, how.std)
    content = torch.addcmul(shift, levels, scale)
    if content.shape[1:] == (geometry.height, geometry.width):
        return content.numpy()
    pixels = np.zeros((3, geometry.height, geometry.width), np.float32)
    pixels[:, top:bottom, left:right] = content.numpy()
    return pixels


@cache
def _constants(mean: Triple, std: Triple) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what is added to levels of 0 to 255 after the product with the second."""
    wide_mean, wide_std = (
        torch.tensor(values, dtype=torch.float64).view(3, 1, 1)
        for values in (mean, std)
    )
    return (-wide_mean / wide_std).float(), (_SCALE / wide_std).float()
