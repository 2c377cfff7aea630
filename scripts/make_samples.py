"""Make the sample pictures: `python scripts/make_samples.py LAND COMICGEN SKIMAGE`.

LAND is the folder `images/land` of Debian's package endless-sky-data, COMICGEN the
folder `svg` of the npm package comicgen 1.9.9, SKIMAGE the folder `skimage/data` of
the package scikit-image 0.26. Needs `cairosvg`. Writes `src/dinoserve/samples`: the
pictures, `manifest.ndjson` that `dinoserve ingest --samples` reads, and `SOURCES.md`.
"""
# ruff: noqa: INP001 - a script stands alone, outside every package

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

FOLDER: Final = Path(__file__).parents[1] / "src" / "dinoserve" / "samples"
ENDLESS_SKY: Final = (
    "https://github.com/endless-sky/endless-sky/tree/master/images/land"
)
COMICGEN: Final = "https://github.com/gramener/comicgen"
SKIMAGE: Final = "https://scikit-image.org/docs/stable/api/skimage.data.html"
_QUALITY: Final = 82
# Alphas: of lines, and a mark of what lies around them.
_DRAWN: Final = 40
_OUTSIDE: Final = 128

# Of the package's copyright file: what is not of NASA is in the public domain, too.
LANDS: Final = {
    "badlands3": "Red rocks",
    "badlands7": "Badlands at dusk",
    "beach4": "Surf at sunrise",
    "beach5": "Red evening on the beach",
    "canyon1": "Hoodoos",
    "canyon5": "River in a canyon",
    "city0": "City on the water",
    "city4": "City under clouds",
    "city8": "City before the storm",
    "city11": "City from above",
    "desert2": "Desert night",
    "dune5": "Dunes",
    "fields3": "Green field",
    "fields6": "Hills at sunset",
    "fog6": "Rays over a lake",
    "hills4": "Red hills",
    "lava1": "Lava at night",
    "mountain1": "Mountain lake",
    "mountain5": "Lake and summits",
    "mountain8": "Dark summit",
    "sea3": "Water falls into the sea",
    "sky6": "Volcano by a lake",
    "sky8": "Peak in the evening",
    "snow1": "Snow in the sun",
    "snow10": "Glacier in the fog",
    "water6": "Violet lake",
    "water5": "Quiet water",
    "valley9": "Mountains from above",
}
NASA: Final = {
    "earthrise": "Earthrise",
    "nasa1": "Launch pad at sunset",
    "nasa2": "Launch at night",
    "nasa7": "Lightning over the pad",
    "space1": "Node of a space station",
    "station1": "Rocket stages in a hall",
}
PHOTOS: Final = {
    "astronaut": ("Eileen Collins", "NASA", "public domain", "portrait"),
    "chelsea": ("Chelsea the cat", "Stéfan van der Walt", "CC0", "animal"),
    "coffee": ("Coffee", "Rachel Michetti, Pikolo Espresso Bar", "CC0", "object"),
    "rocket": ("Rocket on the pad", "SpaceX", "CC0", "rocket"),
    "hubble_deep_field": ("Hubble deep field", "NASA", "public domain", "space"),
    "horse": ("Horse", "Andreas Preuss", "CC0", "animal"),
}


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture with what is said of it."""

    name: str
    picture: Image.Image
    title: str
    author: str
    licence: str
    link: str
    tags: Sequence[str]
    subject: str | None = None
    options: dict[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class Cast:
    """A drawn character, and the author of the drawing."""

    name: str
    folder: str
    author: str
    poses: Sequence[tuple[str, str]]


CASTS: Final = (
    Cast(
        "dee",
        "dee/straight",
        "Ramya Mylavarapu",
        (
            ("smile", "holdingbook"),
            ("curious", "thinking"),
            ("surprised", "pointingup"),
            ("laugh", "super"),
        ),
    ),
    Cast(
        "ethan",
        "ethan/straight",
        "Devarani B",
        (
            ("happy", "normal"),
            ("curious", "handstouchingchin"),
            ("surprised", "holdingbook"),
            ("smirk", "explaining"),
        ),
    ),
    Cast(
        "bean",
        "bean/straight",
        "Ramya Mylavarapu",
        (
            ("smile", "holdinglaptop"),
            ("yuhoo", "yuhoo"),
            ("curious", "thinking"),
            ("wink", "thumbsup"),
        ),
    ),
)


def lands(folder: Path) -> list[Sample]:
    """Return photographs of places, 600 x 300."""
    names = [(name, title, "in the public domain") for name, title in LANDS.items()]
    names += [(name, title, "NASA") for name, title in NASA.items()]
    return [
        Sample(
            name=f"{name}.jpg",
            picture=Image.open(folder / f"{name}.jpg")
            .convert("RGB")
            .resize((600, 300)),
            title=title,
            author="NASA" if author == "NASA" else "not named by the collection",
            licence="public domain",
            link=ENDLESS_SKY,
            tags=["place", name.rstrip("0123456789")],
        )
        for name, title, author in names
    ]


def photos(folder: Path) -> list[Sample]:
    """Return photographs of things, the longer side at most 512."""
    found: list[Sample] = []
    for name, (title, author, licence, tag) in PHOTOS.items():
        (path,) = folder.glob(f"{name}.*")
        picture = Image.open(path).convert("RGB")
        picture.thumbnail((512, 512), Image.Resampling.LANCZOS)
        found.append(
            Sample(f"{name}.jpg", picture, title, author, licence, SKIMAGE, [tag])
        )
    return found


def characters(folder: Path, places: Sequence[Sample]) -> list[Sample]:
    """Return drawn characters: each in four poses alone, and in two shots."""
    found: list[Sample] = []
    for number, cast in enumerate(CASTS):
        figures = [_figure(folder / cast.folder, *pose) for pose in cast.poses]
        for at, figure in enumerate(figures):
            found.append(_drawn(cast, f"{cast.name}-{at + 1}.png", _alone(figure)))
        for at, figure in enumerate(figures[2:]):
            place = places[(5 * number + 11 * at + 1) % len(places)]
            shot = _shot(figure, place.picture, 150 + 220 * at)
            found.append(_drawn(cast, f"{cast.name}-shot-{at + 1}.jpg", shot))
    return found


def spoilt(given: dict[str, Sample]) -> list[Sample]:
    """Return copies as people pass them on, and pictures that went wrong."""
    lake, coffee = given["mountain5.jpg"], given["coffee.jpg"]
    peak, pad = given["sky8.jpg"], given["nasa1.jpg"]
    noise = np.random.default_rng(0).normal(0, 45, (*peak.picture.size[::-1], 3))
    loud = np.clip(np.asarray(peak.picture) + noise, 0, 255).astype(np.uint8)
    width, height = lake.picture.size
    middle = (width // 8, height // 8, width - width // 8, height - height // 8)
    return [
        _changed(coffee, "coffee-copy.png", _kept(coffee.picture), "same pixels"),
        _changed(
            lake, "mountain5-small.jpg", lake.picture.resize((200, 100)), "smaller"
        ),
        _changed(lake, "mountain5-crop.jpg", lake.picture.crop(middle), "cropped"),
        _changed(
            coffee,
            "coffee-mirrored.jpg",
            coffee.picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
            "mirrored",
        ),
        _changed(peak, "sky8-noisy.jpg", Image.fromarray(loud), "noisy"),
        _changed(
            pad,
            "nasa1-blurred.jpg",
            pad.picture.filter(ImageFilter.GaussianBlur(6)),
            "blurred",
        ),
        _changed(
            lake,
            "mountain5-dark.jpg",
            lake.picture.point([v // 9 for v in range(256)] * 3),
            "dark",
        ),
        _changed(
            peak,
            "sky8-bright.jpg",
            peak.picture.point([min(255, 150 + v) for v in range(256)] * 3),
            "bright",
        ),
        _changed(
            coffee,
            "coffee-grey.jpg",
            coffee.picture.convert("L").convert("RGB"),
            "grey",
        ),
    ]


def _kept(picture: Image.Image) -> Image.Image:
    """Return what is left of the picture as JPEG."""
    file = io.BytesIO()
    picture.save(file, "jpeg", quality=_QUALITY, optimize=True)
    return Image.open(file).convert("RGB")


def _figure(folder: Path, emotion: str, pose: str) -> Image.Image:
    parts = [folder / "emotion" / f"{emotion}.svg", folder / "pose" / f"{pose}.svg"]
    inner = "".join(part.read_text() for part in parts)
    head = '<svg xmlns="http://www.w3.org/2000/svg" width="500" height="600">'
    drawn = import_module("cairosvg").svg2png(f"{head}{inner}</svg>".encode())
    figure = Image.open(io.BytesIO(drawn)).convert("RGBA")
    return _filled(figure.crop(figure.getbbox()))


def _filled(figure: Image.Image) -> Image.Image:
    """Return the figure with white wherever its outline closes it in."""
    framed = Image.new("L", (figure.width + 2, figure.height + 2), 0)
    framed.paste(
        figure.getchannel("A").point([255 if a > _DRAWN else 0 for a in range(256)]),
        (1, 1),
    )
    ImageDraw.floodfill(framed, (0, 0), _OUTSIDE)
    inside = framed.crop((1, 1, figure.width + 1, figure.height + 1))
    white = Image.new("RGBA", figure.size, "white")
    white.putalpha(inside.point([0 if v == _OUTSIDE else 255 for v in range(256)]))
    return Image.alpha_composite(white, figure)


def _alone(figure: Image.Image) -> Image.Image:
    page = Image.new("RGB", (360, 480), "white")
    figure.thumbnail((320, 440), Image.Resampling.LANCZOS)
    page.paste(figure, ((360 - figure.width) // 2, 460 - figure.height), figure)
    return page


def _shot(figure: Image.Image, place: Image.Image, left: int) -> Image.Image:
    shot = place.copy()
    actor = figure.copy()
    actor.thumbnail((240, 250), Image.Resampling.LANCZOS)
    shot.paste(actor, (left, 292 - actor.height), actor)
    return shot


def _drawn(cast: Cast, name: str, picture: Image.Image) -> Sample:
    return Sample(
        name,
        picture,
        f"{cast.name.capitalize()}, {'in a place' if 'shot' in name else 'alone'}",
        f"{cast.author}, of comicgen",
        "CC0",
        COMICGEN,
        ["character", "shot" if "shot" in name else "sheet"],
        subject=cast.name,
    )


def _changed(of: Sample, name: str, picture: Image.Image, how: str) -> Sample:
    return Sample(
        name,
        picture,
        f"{of.title}, {how}",
        of.author,
        of.licence,
        of.link,
        [*of.tags, "changed"],
        options={"of": of.name, "how": how},
    )


def save(samples: Sequence[Sample]) -> None:
    """Write pictures, manifest and sources."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows: list[str] = []
    lines = [
        "# Sources",
        "",
        "| file | title | author | licence | link |",
        "|" + " --- |" * 5,
    ]
    for one in sorted(samples, key=lambda sample: sample.name):
        one.picture.save(FOLDER / one.name, quality=_QUALITY, optimize=True)
        told: dict[str, object] = {"path": one.name, "tags": list(one.tags)}
        told |= {"metadata": {"title": one.title} | one.options}
        rows.append(
            json.dumps(told | ({"subject": one.subject} if one.subject else {}))
        )
        lines.append(
            f"| {one.name} | {one.title} | {one.author} | {one.licence} |"
            f" <{one.link}> |"
        )
    (FOLDER / "manifest.ndjson").write_text("\n".join(rows) + "\n")
    (FOLDER / "SOURCES.md").write_text("\n".join(lines) + "\n")


def main(land: Path, comicgen: Path, skimage: Path) -> None:
    """Make all of them."""
    places = lands(land)
    found = [*places, *photos(skimage), *characters(comicgen, places)]
    save([*found, *spoilt({one.name: one for one in found})])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
