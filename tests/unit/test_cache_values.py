"""What the cache keeps gives back exactly what it was made of."""

from dataclasses import replace

import numpy as np
import pytest

from dinoserve.domain.assets import EmbeddingRef, ImageInfo
from dinoserve.domain.geometry import Box, Geometry
from dinoserve.domain.similarity import Hit
from dinoserve.ports import Embedded, Features, Nearest
from dinoserve.services.cached_values import (
    asset_from_bytes,
    asset_to_bytes,
    embedded_from_bytes,
    embedded_to_bytes,
    features_from_bytes,
    features_to_bytes,
    nearest_from_bytes,
    nearest_to_bytes,
)
from records import a_recipe, a_vector, an_asset

IMAGE = ImageInfo("image/jpeg", 640, 480)
GEOMETRY = Geometry(
    image_width=640,
    image_height=480,
    orientation=6,
    source=Box(0, 0, 640, 480),
    content=Box(0.5, 8, 224, 216.25),
    width=224,
    height=224,
    patch_px=16,
)


@pytest.mark.parametrize(
    "metadata",
    [{}, {"ä\0😀": [1, 1.5, True, None, {"deep": "\u2028"}]}, {"n": 2**53 - 1}],
)
def test_a_record_comes_back_whole(metadata: dict[str, object]) -> None:
    asset = an_asset(1, tags=("b", "a"), metadata=metadata, subject="s", filename=None)
    asset = replace(asset, embeddings=(EmbeddingRef("r1", 384), EmbeddingRef("r2", 8)))

    assert asset_from_bytes(asset_to_bytes(asset)) == asset


def test_a_vector_and_its_image_come_back_bit_for_bit() -> None:
    given = Embedded(a_vector(1), IMAGE, tokens=201)

    found = embedded_from_bytes(embedded_to_bytes(given))

    assert found.vector.dtype == np.float32
    assert found.vector.tobytes() == given.vector.tobytes()
    assert (found.image, found.tokens) == (IMAGE, 201)


def test_features_come_back_bit_for_bit() -> None:
    tokens = np.random.default_rng(1).standard_normal((201, 8)).astype(np.float32)
    given = Features(tokens, 4, GEOMETRY, IMAGE, a_recipe())

    found = features_from_bytes(features_to_bytes(given))

    assert found.tokens.dtype == np.float32
    assert np.array_equal(found.tokens, tokens)
    assert replace(found, tokens=tokens) == given


def test_what_comes_from_the_cache_cannot_be_written_to() -> None:
    found = embedded_from_bytes(embedded_to_bytes(Embedded(a_vector(1), IMAGE, 1)))

    with pytest.raises(ValueError, match="read-only"):
        found.vector[0] = 1


@pytest.mark.parametrize("hits", [[], [Hit("a", 0.1 + 0.2), Hit("b", -1.0)]])
def test_hits_come_back_in_order_and_are_never_nothing(hits: list[Hit]) -> None:
    given = Nearest(hits, "graph", is_exact=False)

    raw = nearest_to_bytes(given)

    assert raw
    assert nearest_from_bytes(raw) == given
