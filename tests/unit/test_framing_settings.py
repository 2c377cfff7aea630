"""Size and fit by the settings: they decide embeddings, and are in their recipe."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from dinoserve.errors import StartUpError
from dinoserve.loading import open_embedder
from dinoserve.ports import Features
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics
from odd_files import photo


async def opened(folder: Path, **changes: object) -> tuple[str, Features]:
    """The preprocessing of embeddings, and features as they are made."""
    settings = Settings.model_validate(
        {"data": folder, "model": "bundled", "engine": "torch", **changes}
    )
    async with AsyncExitStack() as stack:
        embedder = await open_embedder(settings, Metrics(), stack)
        features = await embedder.features([photo(1, 60, 40)])
        return embedder.card.recipe.preprocessing, features[0]


@pytest.mark.parametrize(
    ("changes", "name", "shape"),
    [
        ({}, "hf-224x224-lvd-v1", (224, 224)),
        ({"size": "64"}, "hf-64x64-lvd-v1", (64, 64)),
        ({"size": "32x64", "fit": "crop"}, "hf-32x64-crop-lvd-v1", (32, 64)),
        ({"fit": "letterbox"}, "hf-224x224-letterbox-lvd-v1", (224, 224)),
        ({"size": "short:64"}, "hf-short64-round-lvd-v1", (64, 96)),
        ({"size": "long:96", "fit": "round"}, "hf-long96-round-lvd-v1", (64, 96)),
    ],
)
async def test_embeddings_are_made_at_the_size_of_the_settings(
    tmp_path: Path, changes: dict[str, object], name: str, shape: tuple[int, int]
) -> None:
    preprocessing, features = await opened(tmp_path, **changes)
    assert (preprocessing, features.recipe.preprocessing) == (name, name)
    assert (features.geometry.height, features.geometry.width) == shape


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"size": "100"}, "DINOSERVE_SIZE: The model takes multiples of 16"),
        ({"size": "large"}, "DINOSERVE_SIZE: A size is"),
        ({"size": "short:64", "fit": "crop"}, "DINOSERVE_FIT: With the size"),
        ({"fit": "round"}, "DINOSERVE_FIT: With the size"),
        ({"max_patches": 195}, "196 patches; DINOSERVE_MAX_PATCHES is 195"),
        ({"size": "short:99999"}, "DINOSERVE_SIZE: An input of"),
        # Engines would be compared for minutes if this were not looked at before.
        ({"size": "short:2048", "engine": "openvino"}, "DINOSERVE_MAX_PATCHES"),
    ],
)
async def test_a_size_that_cannot_be_stops_the_start(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(StartUpError, match=reason):
        await opened(tmp_path, **changes)
