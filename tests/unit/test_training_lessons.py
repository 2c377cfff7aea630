"""What a student is shown, and what it is told of it."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from training import losses
from training.lessons import Basis
from training.pictures import Pictures
from training.views import bent, coloured, crop

from odd_files import photo


def pack(path: Path, blobs: list[bytes]) -> Path:
    lengths = [len(blob) for blob in blobs]
    head = struct.pack(f"<{len(blobs) + 1}I", len(blobs), *lengths)
    path.write_bytes(head + b"".join(blobs))
    return path


def test_a_pack_holds_the_pictures_of_its_blobs(tmp_path: Path) -> None:
    blobs = [photo(1, 64, 48), photo(2, 30, 90)]
    (tmp_path / "folder").mkdir()
    for name, blob in zip("ab", blobs, strict=True):
        (tmp_path / "folder" / f"{name}.jpg").write_bytes(blob)

    packed = Pictures(pack(tmp_path / "pack.bin", blobs))
    filed = Pictures(tmp_path / "folder")

    assert len(packed) == len(filed) == 2
    assert all(packed[at] == filed[at] for at in range(2))


def test_a_large_picture_comes_smaller_and_a_small_one_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(1, 640, 480))
    (tmp_path / "b.jpg").write_bytes(photo(1, 64, 48))
    pictures = Pictures(tmp_path, short=96)

    assert [picture.size for picture in pictures] == [(128, 96), (64, 48)]


def test_transparent_parts_are_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.png")

    assert Pictures(tmp_path)[0].getpixel((3, 3)) == (255, 255, 255)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 2**32))
@settings(max_examples=60)
def test_a_crop_lies_inside_and_is_large_enough(w: int, h: int, seed: int) -> None:
    part = crop(Image.new("RGB", (w, h)), np.random.default_rng(seed))

    assert 1 <= part.width <= w
    assert 1 <= part.height <= h


@pytest.mark.parametrize("size", [32, 96, 128])
def test_bent_views_stay_pixels_of_their_size(size: int) -> None:
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType] - torch leaves the seed untyped
    pixels = torch.rand(24, 3, size, size)

    found = bent(pixels)

    assert found.shape == pixels.shape
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    assert not torch.equal(found, pixels)


def test_no_strength_leaves_colours_as_they_are() -> None:
    pixels = torch.rand(4, 3, 8, 8)

    assert torch.allclose(coloured(pixels, 0.0), pixels, atol=1e-6)


def test_a_basis_centres_decorrelates_and_gives_unit_vectors() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(3, 1, (4000, 12)) @ rng.normal(0, 1, (12, 12))
    basis = Basis.of(rows, kept=5, power=1.0)

    raw = (rows.astype(np.float32) - basis.mean) @ basis.axes

    assert np.allclose(raw.mean(axis=0), 0, atol=1e-2)
    assert np.allclose(np.cov(raw, rowvar=False), np.eye(5), atol=2e-2)
    assert np.allclose(np.linalg.norm(basis(rows), axis=1), 1, atol=1e-5)


def test_a_basis_survives_its_file(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 6))
    basis = Basis.of(rows, 3, 0.5)
    basis.save(tmp_path / "basis.npz")

    assert np.array_equal(Basis.load(tmp_path / "basis.npz")(rows), basis(rows))


def test_a_perfect_answer_loses_nothing() -> None:
    target = torch.randn(8, 16)
    logits = torch.randn(8, 10)
    cells = torch.randn(8, 7, 7, 4)

    assert float(losses.vector_loss(3 * target, target)) == pytest.approx(0, abs=1e-6)
    assert float(losses.likeness_loss(target, target)) == pytest.approx(0, abs=1e-6)
    assert float(losses.class_loss(logits, logits)) == pytest.approx(0, abs=1e-6)
    assert float(losses.cell_loss(cells, cells)) == pytest.approx(0, abs=1e-6)


def test_pairs_that_are_alike_lose_less_than_pairs_that_are_not() -> None:
    one = torch.randn(32, 16)

    alike = losses.pair_loss(one, one + 0.1 * torch.randn(32, 16))

    assert float(alike) < float(losses.pair_loss(one, torch.randn(32, 16)))


def test_spread_embeddings_lose_less_than_crowded_ones() -> None:
    spread = torch.eye(8)

    assert float(losses.spread_loss(spread)) < float(
        losses.spread_loss(torch.ones(8, 8) + 0.01 * spread)
    )
