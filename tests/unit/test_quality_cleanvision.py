"""CleanVision's own scores, by the library itself, and ours: equal within 1e-3."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cleanvision.issue_managers.image_property import (
    AspectRatioProperty,
    BlurrinessProperty,
    BrightnessProperty,
    EntropyProperty,
)
from PIL import Image, ImageEnhance, ImageFilter

from dinoserve.domain.quality import measure

PICTURES = sorted((Path(__file__).parents[1] / "pictures").glob("*.jpg"))
SIZES = ((500, 375), (64, 64), (63, 20), (300, 40), (1024, 700), (129, 131))


def _theirs(image: Image.Image) -> dict[str, float]:
    """Return the library's scores, with the parameters that it uses by default."""
    methods: Sequence[tuple[str, Any, dict[str, float]]] = (
        ("dark", BrightnessProperty("dark"), {}),
        ("light", BrightnessProperty("light"), {}),
        ("odd_aspect_ratio", AspectRatioProperty(), {}),
        ("low_information", EntropyProperty(), {"normalizing_factor": 0.1}),
        (
            "blurry",
            BlurrinessProperty(),
            {"normalizing_factor": 0.01, "color_threshold": 0.18},
        ),
    )
    scores: dict[str, float] = {}
    for name, method, parameters in methods:
        raw = pd.DataFrame([method.calculate(image)])
        found = method.get_scores(raw, name, **parameters)
        scores[name] = float(found.iloc[0, 0])
    return scores


def _ours(image: Image.Image) -> dict[str, float]:
    found = measure(np.asarray(image.convert("RGB")))
    return {
        "dark": found.dark_score,
        "light": found.light_score,
        "odd_aspect_ratio": found.odd_aspect_score,
        "low_information": found.low_information_score,
        "blurry": found.blurry_score,
    }


def _distorted(image: Image.Image) -> dict[str, Image.Image]:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=10)
    return {
        "as it is": image,
        "dark": ImageEnhance.Brightness(image).enhance(0.15),
        "bright": ImageEnhance.Brightness(image).enhance(6),
        "blurred": image.filter(ImageFilter.GaussianBlur(12)),
        "grey": image.convert("L").convert("RGB"),
        "poor": image.quantize(4).convert("RGB"),
        "compressed": Image.open(file, formats=["JPEG"]).convert("RGB"),
    }


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_photographs_have_the_librarys_scores(path: Path) -> None:
    photo = Image.open(path).convert("RGB")
    for size in SIZES:
        for name, image in _distorted(photo.resize(size)).items():
            assert _ours(image) == pytest.approx(_theirs(image), abs=1e-3), (size, name)


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (3, 3), (16, 9), (65, 65)])
def test_tiny_pictures_have_the_librarys_scores(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(5).integers(0, 256, (*size, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    assert _ours(image) == pytest.approx(_theirs(image), abs=1e-3)


def test_tall_pictures_have_nearly_the_librarys_scores() -> None:
    """Pillow 13 shrinks some of them columns first, which rounds otherwise."""
    for path in PICTURES:
        image = Image.open(path).convert("RGB").resize((60, 400))
        assert _ours(image) == pytest.approx(_theirs(image), abs=5e-3)


def test_a_file_of_one_channel_differs_in_information_alone() -> None:
    """The library counts one channel then; decoding gives three that are alike."""
    image = Image.open(PICTURES[0]).convert("L")
    ours, theirs = _ours(image), _theirs(image)
    assert ours.pop("low_information") == pytest.approx(
        theirs.pop("low_information") + 0.1 * np.log2(3), abs=1e-3
    )
    assert ours == pytest.approx(theirs, abs=1e-3)
