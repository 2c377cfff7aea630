"""Preprocessing: the same numbers as the models' own, and no entry ignored."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from dinoserve.domain.framing import Framing, lay_out
from dinoserve.engine.preprocess import (
    LVD_MEAN,
    LVD_STD,
    SAT_MEAN,
    SAT_STD,
    Preprocessing,
    Rule,
    from_config,
)
from dinoserve.engine.preprocess import (
    to_pixels as fill,
)
from dinoserve.errors import ModelUnavailableError

# preprocessor_config.json of dinov3-vits16-pretrain-lvd1689m, as published.
PUBLISHED: Mapping[str, object] = {
    "crop_size": None,
    "data_format": "channels_first",
    "default_to_square": True,
    "device": None,
    "disable_grouping": None,
    "do_center_crop": None,
    "do_convert_rgb": None,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_processor_type": "DINOv3ViTImageProcessorFast",
    "image_std": [0.229, 0.224, 0.225],
    "input_data_format": None,
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "return_tensors": None,
    "size": {"height": 224, "width": 224},
}
SIZES = [(375, 500), (224, 224), (1, 1), (1, 900), (900, 1), (17, 33), (640, 480)]
PICTURES = Path(__file__).parents[1] / "pictures"
HF = Preprocessing("hf", Framing("224x224", "squash"), LVD_MEAN, LVD_STD)
README = Preprocessing("readme", Framing("256x256", "squash"), LVD_MEAN, LVD_STD)


def noise(height: int, width: int) -> NDArray[np.uint8]:
    random = np.random.default_rng(height * 10_000 + width)
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


def to_pixels(rgb: NDArray[np.uint8], how: Preprocessing) -> NDArray[np.float32]:
    """The whole picture at the size and fit of the preprocessing."""
    height, width, _ = rgb.shape
    return fill(rgb, lay_out(how.framing, width, height, 16), how)


def size_of(how: Preprocessing) -> tuple[int, int]:
    height, width = how.framing.size.split("x")
    return int(height), int(width)


def triangle(length: int, target: int) -> NDArray[np.float64]:
    """Weights, float64 (target, length), of a resize by the triangle filter.

    Each result pixel is the mean of the source under a triangle around its centre.
    The triangle reaches one source pixel to each side, or one result pixel where that
    is wider, so that nothing between is passed over. Weights outside the picture
    fall away and the rest are scaled to sum to 1.
    """
    scale = length / target
    reach = max(scale, 1.0)
    centres = (np.arange(target) + 0.5) * scale
    distance = np.abs(np.arange(length) + 0.5 - centres[:, None])
    weights = np.maximum(0.0, 1.0 - distance / reach)
    return weights / weights.sum(axis=1, keepdims=True)


def defined(rgb: NDArray[np.uint8], how: Preprocessing) -> NDArray[np.float64]:
    """The `hf` rule in float64, from its definition: (3, height, width)."""
    planes = rgb.astype(np.float64).transpose(2, 0, 1) / 255
    rows, columns = (
        triangle(length, target)
        for length, target in zip(rgb.shape[:2], size_of(how), strict=True)
    )
    mean, std = (np.reshape(values, (3, 1, 1)) for values in (how.mean, how.std))
    return (rows @ planes @ columns.T - mean) / std


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_hf_rule_follows_the_definition(height: int, width: int) -> None:
    rgb = noise(height, width)
    # The kernel finds its place in float32, so it may be half a last digit, that is
    # length * 2**-24 source pixels, beside it, where neighbours differ by up to 1.
    # Sums err by a few 2**-24 more, and dividing by the std magnifies both.
    bound = (max(height, width) + 16) * 2**-24 / min(LVD_STD)
    assert np.abs(to_pixels(rgb, HF) - defined(rgb, HF)).max() <= bound


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_readme_rule_follows_the_definition(height: int, width: int) -> None:
    rgb = noise(height, width)
    # The 8-bit kernel rounds after each of its two directions, so it is at most one
    # level and a little off: 1.1 / 255 / 0.22.
    assert np.abs(to_pixels(rgb, README) - defined(rgb, README)).max() <= 0.0196


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_readme_rule_gives_only_8_bit_levels(height: int, width: int) -> None:
    pixels = to_pixels(noise(height, width), README)
    std, mean = (np.reshape(v, (3, 1, 1)) for v in (LVD_STD, LVD_MEAN))
    levels = (pixels.astype(np.float64) * std + mean) * 255
    assert np.abs(levels - np.rint(levels)).max() < 1e-3


def as_transformers(rgb: NDArray[np.uint8], how: Preprocessing) -> NDArray[np.float32]:
    """The calls of PyTorch that `DINOv3ViTImageProcessor` makes."""
    image = torch.tensor(rgb).permute(2, 0, 1).contiguous() * 0.00392156862745098
    image = functional.interpolate(
        image[None],
        size_of(how),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (how.mean, how.std))
    return image[0].sub(mean).div(std).numpy()


@pytest.mark.parametrize("size", ["224x224", "32x96", "512x688", "1024x16"])
@pytest.mark.parametrize(
    ("height", "width"), [*SIZES, (1000, 750), (2047, 7), (334, 2311)]
)
def test_the_hf_rule_is_the_processors_chain_of_torch_calls(
    height: int, width: int, size: str
) -> None:
    # The hardest for rounding: every pixel is black or white.
    rgb = noise(height, width) // 128 * 255
    how = HF.with_framing(Framing(size, "squash"))
    assert np.abs(to_pixels(rgb, how) - as_transformers(rgb, how)).max() <= 1e-5


@pytest.mark.parametrize(
    "picture", sorted(PICTURES.glob("*.jpg")), ids=lambda path: path.stem
)
def test_a_photo_is_prepared_as_transformers_does(picture: Path) -> None:
    rgb = np.asarray(Image.open(picture).convert("RGB"))
    assert np.abs(to_pixels(rgb, HF) - as_transformers(rgb, HF)).max() <= 3e-6


@pytest.mark.needs("torchvision")
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_the_hf_rule_equals_the_real_processor(height: int, width: int) -> None:
    from transformers import DINOv3ViTImageProcessor  # noqa: PLC0415 - needs it too

    rgb = noise(height, width)
    options: dict[str, Any] = dict(PUBLISHED)
    processor = DINOv3ViTImageProcessor(**options)
    features: Mapping[str, Any] = processor(Image.fromarray(rgb), return_tensors="np")
    ours = to_pixels(rgb, from_config("hf", PUBLISHED, 16))
    assert np.abs(ours - features["pixel_values"][0]).max() <= 1e-6


@pytest.mark.parametrize("rule", get_args(Rule))
def test_any_size_and_aspect_can_be_asked_for(rule: Rule) -> None:
    how = Preprocessing(rule, Framing("32x96", "squash"), SAT_MEAN, SAT_STD)
    pixels = to_pixels(noise(40, 50), how)
    assert (pixels.shape, pixels.dtype) == ((3, 32, 96), np.float32)


@pytest.mark.parametrize("rule", get_args(Rule))
def test_a_letterbox_is_the_picture_between_zeros(rule: Rule) -> None:
    how = Preprocessing(rule, Framing("64x64", "letterbox"), LVD_MEAN, LVD_STD)
    rgb = noise(60, 100)
    pixels = to_pixels(rgb, how)
    band = lay_out(how.framing, 100, 60, 16).content
    top, bottom = int(band.top), int(band.bottom)
    small = Preprocessing(rule, Framing("38x64", "squash"), LVD_MEAN, LVD_STD)
    whole = lay_out(Framing("38x64", "squash"), 100, 60, 2)
    assert np.array_equal(pixels[:, top:bottom], fill(rgb, whole, small))
    assert not pixels[:, :top].any()
    assert not pixels[:, bottom:].any()


@pytest.mark.parametrize("rule", get_args(Rule))
def test_a_crop_is_the_middle_of_the_picture(rule: Rule) -> None:
    rgb = noise(60, 100)
    crop = Preprocessing(rule, Framing("48x48", "crop"), LVD_MEAN, LVD_STD)
    squash = crop.with_framing(Framing("48x48", "squash"))
    assert np.array_equal(to_pixels(rgb, crop), to_pixels(rgb[:, 20:80], squash))


def test_pixels_that_cannot_be_changed_are_taken() -> None:
    rgb = noise(1, 1)
    rgb.flags.writeable = False
    assert to_pixels(rgb, HF).shape == (3, 224, 224)


def test_the_published_config_gives_the_published_preparation() -> None:
    assert from_config("hf", PUBLISHED, 16) == HF


def test_an_empty_config_is_the_processors_defaults() -> None:
    assert from_config("hf", {}, 32) == HF


def test_the_readme_rule_takes_the_constants_and_its_own_size() -> None:
    config = {"image_mean": list(SAT_MEAN), "image_std": list(SAT_STD), "resample": 3}
    expected = Preprocessing("readme", Framing("256x256", "squash"), SAT_MEAN, SAT_STD)
    assert from_config("readme", config, 32) == expected


@pytest.mark.parametrize(
    ("how", "name"),
    [
        (HF, "hf-224x224-lvd-v1"),
        (
            Preprocessing("readme", Framing("256x256", "squash"), SAT_MEAN, SAT_STD),
            "readme-256x256-sat-v1",
        ),
        (
            Preprocessing("hf", Framing("64x128", "squash"), LVD_MEAN, LVD_STD),
            "hf-64x128-lvd-v1",
        ),
        (HF.with_framing(Framing("224", "letterbox")), "hf-224x224-letterbox-lvd-v1"),
        (HF.with_framing(Framing("32x64", "crop")), "hf-32x64-crop-lvd-v1"),
        (HF.with_framing(Framing("short:512", "round")), "hf-short512-round-lvd-v1"),
        (
            README.with_framing(Framing("long:64", "round")),
            "readme-long64-round-lvd-v1",
        ),
    ],
)
def test_an_id_names_rule_size_fit_and_constants(how: Preprocessing, name: str) -> None:
    assert how.id == name


def test_ids_of_other_constants_differ_and_are_stable() -> None:
    grey = Preprocessing(
        "hf", Framing("224x224", "squash"), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    )
    mixed = Preprocessing("hf", Framing("224x224", "squash"), LVD_MEAN, SAT_STD)
    # Stored beside vectors: a change of these ids orphans them.
    assert grey.id == "hf-224x224-6cb94bec-v1"
    assert mixed.id == "hf-224x224-79facb2b-v1"


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("do_center_crop", True),
        ("do_resize", False),
        ("do_rescale", False),
        ("do_normalize", False),
        ("do_pad", True),
        ("resample", 3),
        ("rescale_factor", 1 / 256),
        ("image_processor_type", "BitImageProcessor"),
        ("something_new", 1),
        ("size", {"shortest_edge": 224}),
        ("size", {"height": 224, "width": 224, "shortest_edge": 9}),
        ("size", {"height": 100, "width": 224}),
        ("size", {"height": 0, "width": 224}),
        ("size", 224),
        ("image_mean", 0.5),
        ("image_mean", [0.5, 0.5]),
        ("image_mean", ["a", "b", "c"]),
        ("image_std", [0.5, 0.0, 0.5]),
        ("image_std", [0.5, float("nan"), 0.5]),
    ],
)
def test_an_entry_that_is_not_supported_is_refused_by_name(
    entry: str, value: object
) -> None:
    with pytest.raises(ModelUnavailableError, match=entry) as caught:
        from_config("hf", {**PUBLISHED, entry: value}, 16)
    assert caught.value.extra == {"entry": entry}


def test_a_size_must_suit_the_stride_of_the_model() -> None:
    config = {"size": {"height": 48, "width": 64}}
    assert from_config("hf", config, 16).framing.size == "48x64"
    with pytest.raises(ModelUnavailableError, match="multiples of 32"):
        from_config("hf", config, 32)
