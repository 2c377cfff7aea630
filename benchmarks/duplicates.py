"""What tells near-duplicates from others: hash, patches and vectors, by distortion.

`python benchmarks/duplicates.py FOLDER [COUNT]` takes so many pictures of a folder at
even steps, distorts each, and prints what `POST /v1/duplicates` would measure.
"""

import asyncio
import io
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance

from dinoserve.domain.assets import IMAGE_ENDINGS
from dinoserve.domain.features import parts_of, seen
from dinoserve.domain.fingerprints import look_of, turned, turned_picture
from dinoserve.domain.patch_agreement import PlacedPatches, agreement
from dinoserve.domain.vectors import Vector, normalise
from dinoserve.loading import open_embedder
from dinoserve.ports import Embedder
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics

_BATCH: Final = 16
_OTHERS: Final = 400


class Seen(NamedTuple):
    """What is known of one picture."""

    vector: Vector
    patches: PlacedPatches


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return Image.open(data).convert("RGB")


def _smaller(image: Image.Image, share: float) -> Image.Image:
    width, height = image.size
    return image.resize((max(1, int(width * share)), max(1, int(height * share))))


def _cropped(image: Image.Image, share: float) -> Image.Image:
    width, height = image.size
    across, down = width * share / 2, height * share / 2
    box = (int(across), int(down), int(width - across), int(height - down))
    return image.crop(box)


def _marked(image: Image.Image) -> Image.Image:
    image = image.copy()
    width, height = image.size
    box = (width * 0.6, height * 0.8, width * 0.95, height * 0.95)
    ImageDraw.Draw(image).rectangle(box, fill=(255, 255, 255))
    return image


DISTORTIONS: Final[Mapping[str, Callable[[Image.Image], Image.Image]]] = {
    "jpeg 50": lambda image: _jpeg(image, 50),
    "jpeg 10": lambda image: _jpeg(image, 10),
    "half size": lambda image: _smaller(image, 0.5),
    "quarter size": lambda image: _smaller(image, 0.25),
    "brightness 0.7": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
    "contrast 1.4": lambda image: ImageEnhance.Contrast(image).enhance(1.4),
    "no colour": lambda image: image.convert("L").convert("RGB"),
    "white box on 5 %": _marked,
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "rotated 90": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "rotated 180": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "rotated 3": lambda image: image.rotate(3, Image.Resampling.BICUBIC),
    "cropped 2 %": lambda image: _cropped(image, 0.02),
    "cropped 5 %": lambda image: _cropped(image, 0.05),
    "cropped 10 %": lambda image: _cropped(image, 0.10),
    "rotated 90, jpeg 30": lambda image: _jpeg(image.rotate(90, expand=True), 30),
    "cropped 30 %": lambda image: _cropped(image, 0.30),
}


def chosen(folder: Path, count: int) -> list[Image.Image]:
    """Return so many pictures of a folder, at even steps, of at most 1024 pixels."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_ENDINGS)
    images: list[Image.Image] = []
    step = max(1, len(paths) // count)
    for path in paths[::step][:count]:
        image = Image.open(path).convert("RGB")
        image.thumbnail((1024, 1024))
        images.append(image)
    return images


def _png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=1)
    return data.getvalue()


async def look_at(images: list[Image.Image], embedder: Embedder) -> list[Seen]:
    """Return what is known of every picture."""
    found: list[Seen] = []
    for start in range(0, len(images), _BATCH):
        some = images[start : start + _BATCH]
        told_of = await embedder.features([_png(each) for each in some])
        for features in told_of:
            geometry = features.geometry
            parts = parts_of(
                features.tokens, features.registers, geometry.rows, geometry.columns
            )
            patches = PlacedPatches.of(parts.patches, seen(geometry))
            vector = normalise(parts.cls)
            found.append(Seen(vector, patches))
    return found


def apart(left: Image.Image, right: Image.Image) -> tuple[int, int]:
    """Return the bits that two hashes differ in at least, and in which turn."""
    looks = look_of(np.asarray(left)), look_of(np.asarray(right))
    if looks[0] is None or looks[1] is None:
        return 64, 0
    turns = turned(np.array([looks[1]], np.uint64))[:, 0]
    differing = np.bitwise_count(turns ^ np.uint64(looks[0]))
    return int(differing.min()), int(differing.argmin())


def told(left: Seen, right: Seen, bits: int) -> tuple[float, float, float, float]:
    """Return the bits, share of patches, their cosine, and that of the vectors."""
    share, cosine = agreement(left.patches, right.patches)
    return bits, share, cosine, float(left.vector @ right.vector)


def _row(name: str, rows: NDArray[np.float64]) -> None:
    bits, share, cosine, vectors = rows.T
    print(
        f"| {name} | {np.mean((bits <= 12) & (share >= 0.05)):.0%} |"
        f" {np.mean((bits <= 16) & (share >= 0.05)):.0%} | {np.median(bits):.0f} |"
        f" {np.quantile(share, 0.05):.2f} {np.median(share):.2f}"
        f" {np.quantile(share, 0.95):.2f} |"
        f" {np.quantile(cosine, 0.05):.2f} {np.median(cosine):.2f}"
        f" {np.quantile(cosine, 0.95):.2f} |"
        f" {np.quantile(vectors, 0.05):.2f} {np.median(vectors):.2f}"
        f" {np.quantile(vectors, 0.95):.2f} |"
    )


async def main(folder: Path, count: int) -> None:
    """Print a line for every distortion, and one for pairs of other pictures."""
    images = chosen(folder, count)
    async with AsyncExitStack() as stack:
        embedder = await open_embedder(Settings.model_validate({}), Metrics(), stack)
        originals = await look_at(images, embedder)
        print(f"{len(images)} pictures of {folder.name}; 5 %, median, 95 %")
        print(
            "| distortion | at 12 | at 16 | bits | patch share | its cosine | cosine |"
        )
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for name, distort in DISTORTIONS.items():
            others = [distort(each) for each in images]
            differing = [apart(*pair) for pair in zip(images, others, strict=True)]
            upright = [
                Image.fromarray(turned_picture(np.asarray(other), turn))
                for other, (_, turn) in zip(others, differing, strict=True)
            ]
            seen_so = await look_at(upright, embedder)
            pairs = zip(originals, seen_so, differing, strict=True)
            _row(name, np.array([told(a, b, bits) for a, b, (bits, _) in pairs]))
    _others(images, originals)


def _others(images: list[Image.Image], originals: list[Seen]) -> None:
    """Print the lines of pairs that are no duplicates."""
    places = [(a, b) for a in range(len(images)) for b in range(a + 1, len(images))]
    step = max(1, len(places) // _OTHERS)
    rows = np.array(
        [
            told(originals[a], originals[b], apart(images[a], images[b])[0])
            for a, b in places[::step]
        ]
    )
    _row("another picture", rows)
    _row("the same, 20 closest", rows[np.argsort(rows[:, 0])][:20])


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 60))
