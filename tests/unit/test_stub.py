import hashlib
import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dinoserve.domain.vectors import Vector
from dinoserve.engine.stub import StubForward
from shown import shown


def picture(seed: int) -> NDArray[np.uint8]:
    """Return smooth coloured blotches: uint8 (150, 200, 3)."""
    blotches = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(blotches).resize((200, 150)))


def encoded_again(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    stored = io.BytesIO()
    Image.fromarray(rgb).save(stored, "JPEG", quality=60)
    return np.asarray(Image.open(stored))


def vector(rgb: NDArray[np.uint8]) -> Vector:
    stub = StubForward()
    return stub.vectors([stub.prepare(shown(rgb))])[0]


def test_two_stubs_give_equal_vectors() -> None:
    assert np.array_equal(vector(picture(1)), vector(picture(1)))


def test_vectors_are_float32_of_the_dimension_the_card_tells() -> None:
    assert vector(picture(1)).dtype == np.float32
    assert vector(picture(1)).shape == (StubForward().card.recipe.dimension,)


@pytest.mark.parametrize("value", [0, 127, 128, 255])
def test_even_a_plain_picture_has_a_vector_of_length_one(value: int) -> None:
    plain = np.full((1, 1, 3), value, dtype=np.uint8)
    assert np.linalg.norm(vector(plain)) == pytest.approx(1.0, abs=1e-6)


def test_a_picture_encoded_again_stays_close() -> None:
    rgb = picture(1)
    assert vector(rgb) @ vector(encoded_again(rgb)) > 0.99


@pytest.mark.parametrize("other", range(2, 12))
def test_another_picture_is_far(other: int) -> None:
    assert vector(picture(1)) @ vector(picture(other)) < 0.7


def test_a_row_does_not_depend_on_its_batch() -> None:
    stub = StubForward()
    batch = [stub.prepare(shown(picture(seed))) for seed in range(5)]
    alone = np.concatenate([stub.vectors([one]) for one in batch])
    assert stub.vectors(batch) == pytest.approx(alone, abs=1e-6)


def test_the_recipe_holds_the_digest_of_the_projection() -> None:
    stub = StubForward()
    digest = hashlib.sha256(stub._projection.tobytes()).hexdigest()  # pyright: ignore[reportPrivateUsage] - its weights are shown nowhere else
    assert stub.card.recipe.weights_sha256 == digest


def test_the_card_says_that_it_is_for_tests() -> None:
    assert (StubForward().card.kind, "for tests" in StubForward().card.note) == (
        "stub",
        True,
    )
