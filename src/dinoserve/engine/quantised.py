"""int8 on CPUs: OpenVINO's graph, quantised after training on pictures.

Its numbers are near those of float32, not equal: they have a recipe of their own.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata, resources
from io import StringIO
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.assets import ImageInfo
from dinoserve.engine.images import DecodedImage, ImageLimits, decode
from dinoserve.engine.model_forward import ModelForward
from dinoserve.engine.openvino_forward import (
    OpenVinoForward,
    check_precision,
    converted,
    kept,
    library,
    quietly,
)
from dinoserve.engine.preprocess import Preprocessing
from dinoserve.engine.weights import LoadedModel
from dinoserve.errors import InvalidInputError, StartUpError

if TYPE_CHECKING:
    import openvino

SCHEME = "nncf-transformer-floating-attention-v1"
"""What is done to the graph, by name; another way of doing it gets another name."""

CALIBRATION_INPUTS = 32
"""Inputs that ranges are taken from at least; NNCF's authors use 300 at most."""

HELD_OUT_INPUTS = 16
"""Inputs that the result is judged by at least."""

MAX_PICTURES = 64
"""Files of a folder that are read at most, evenly spaced; three of four calibrate."""

Pixels: TypeAlias = NDArray[np.float32]

_log = logging.getLogger(__name__)
_LIMITS = ImageLimits(max_bytes=2**25, max_pixels=64_000_000, max_side_px=16_384)
_LEAST_PICTURES = 4


@dataclass(frozen=True, slots=True)
class Calibration:
    """What int8 is made with, and pictures that it did not see to judge it by.

    Attributes:
        seen: float32 (3, H, W) each, normalised, at the server's framing.
        held_out: the same, of other pictures.
        pictures: how many pictures `seen` was made from.
        held_out_pictures: how many pictures `held_out` was made from.
        sha256: digest of the pictures and the preprocessing.
    """

    seen: Sequence[Pixels]
    held_out: Sequence[Pixels]
    pictures: int
    held_out_pictures: int
    sha256: str


def sample_pictures() -> list[Path]:
    """Return the files of the four pictures that ship with the package."""
    folder = Path(str(resources.files("dinoserve"))) / "engine" / "pictures"
    return sorted(folder.glob("*.jpg"))


def read_picture(file: Path) -> DecodedImage:
    """Return a picture of at most 32 MiB and 64 million pixels.

    Raises:
        InvalidInputError: it is none, or too large.
        OSError: the file cannot be read.
    """
    return decode(file.read_bytes(), _LIMITS)


def read_calibration(
    folder: Path | None, forward: ModelForward, preprocessing: Preprocessing
) -> Calibration:
    """Return the pictures of a folder, or the samples, split and prepared.

    Every fourth picture is held out. Where there are few, crops of them, mirrored and
    made brighter or darker, fill up to `CALIBRATION_INPUTS` and `HELD_OUT_INPUTS`; the
    same pictures always give the same inputs.

    Args:
        folder: of the user's pictures; None is `sample_pictures`.
        forward: prepares pictures as those to come will be.
        preprocessing: how it does that.

    Raises:
        StartUpError: the folder cannot be read, or holds fewer than 4 pictures.
    """
    pictures = _digests(sample_pictures() if folder is None else _users(folder))
    if len(pictures) < _LEAST_PICTURES:
        raise StartUpError(
            f"DINOSERVE_CALIBRATION: {folder} holds {len(pictures)} different pictures"
            f" that can be read; int8 needs {_LEAST_PICTURES}, and some dozens of what"
            " you serve are better. Unset it to take the pictures of the package."
        )
    files = list(pictures.values())
    held_out = files[_LEAST_PICTURES - 1 :: _LEAST_PICTURES]
    seen = [file for file in files if file not in held_out]
    return Calibration(
        seen=_inputs(seen, CALIBRATION_INPUTS, forward),
        held_out=_inputs(held_out, HELD_OUT_INPUTS, forward),
        pictures=len(seen),
        held_out_pictures=len(held_out),
        sha256=_sha256(preprocessing.id, *pictures),
    )


def open_quantised(
    model: LoadedModel,
    preprocessing: Preprocessing,
    calibration: Calibration,
    cache: Path | None,
) -> OpenVinoForward:
    """Return the model in int8, from the cache or quantised now, not judged yet.

    The recipe's digest of the weights is one of what made them: the weights as they
    are on disk, `SCHEME`, the calibration and the version of NNCF.

    Args:
        model: from `load_model`; its network stays as it is.
        preprocessing: from pictures to pixels, made for this model's stride.
        calibration: from `read_calibration`.
        cache: folder that keeps graphs; None quantises every time.

    Raises:
        StartUpError: this processor has no int8, or NNCF is not installed.
    """
    check_precision("int8")
    made_of = (model.weights_sha256, SCHEME, calibration.sha256, _nncf_version())
    other = replace(model, weights_sha256=_sha256(*made_of))
    graph = kept(other, cache, partial(_quantised, model, calibration.seen, cache))
    return (
        OpenVinoForward(other, preprocessing, "int8", graph)
        .with_detail("original_weights_sha256", model.weights_sha256)
        .with_detail("calibration_pictures", calibration.pictures)
        .with_detail("held_out_pictures", calibration.held_out_pictures)
    )


def _users(folder: Path) -> list[Path]:
    """Return at most `MAX_PICTURES` files of a folder, evenly spaced by name."""
    try:
        files = sorted(file for file in folder.iterdir() if file.is_file())
    except OSError as error:
        raise StartUpError(
            f"DINOSERVE_CALIBRATION: {folder} cannot be read ({error.strerror}); it is"
            " to be a folder of pictures."
        ) from error
    kept_count = min(len(files), MAX_PICTURES)
    return [files[at * len(files) // kept_count] for at in range(kept_count)]


def _digests(files: Sequence[Path]) -> dict[str, Path]:
    """Return what are pictures, by SHA-256 of their bytes, so that none is twice."""
    pictures: dict[str, Path] = {}
    for file in files:
        try:
            read_picture(file)
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
        except (InvalidInputError, OSError) as error:
            _log.warning("calibration passes over %s: %s", file.name, error)
            continue
        pictures.setdefault(digest, file)
    return pictures


def _inputs(
    files: Sequence[Path], at_least: int, forward: ModelForward
) -> list[Pixels]:
    # Read again rather than held: a folder of large pictures would fill the memory.
    inputs: list[Pixels] = []
    for at in range(max(len(files), at_least)):
        image = read_picture(files[at % len(files)])
        shown = image if at < len(files) else _variant(image, at)
        # What `prepare` gives on the CPU is float32.
        inputs.append(cast("Pixels", forward.prepare(shown).pixels))
    return inputs


def _variant(image: DecodedImage, seed: int) -> DecodedImage:
    """Return half to all of each side, maybe mirrored, at 0.6 to 1.4 its brightness."""
    chance = np.random.default_rng(seed)
    full_width, full_height = image.info.width, image.info.height
    height = max(1, int(full_height * chance.uniform(0.5, 1)))
    width = max(1, int(full_width * chance.uniform(0.5, 1)))
    top = int(chance.integers(full_height - height + 1))
    left = int(chance.integers(full_width - width + 1))
    part = image.rgb[top : top + height, left : left + width]
    part = part[:, :: chance.choice([1, -1])] * chance.uniform(0.6, 1.4)
    rgb = np.ascontiguousarray(part.clip(0, 255).astype(np.uint8))
    return DecodedImage(ImageInfo(image.info.media_type, width, height), rgb)


def _quantised(
    model: LoadedModel, seen: Sequence[Pixels], cache: Path | None
) -> "openvino.Model":
    """Return the graph with its products in int8, those of attention excepted."""
    graph, start = converted(model, cache), time.perf_counter()
    _log.info("quantising %s to int8 with %d inputs", model.name, len(seen))
    with _nncf() as nncf:
        quantised = nncf.quantize(
            graph,
            nncf.Dataset(seen, _told(len(seen))),
            subset_size=len(seen),
            model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.PERFORMANCE,
            # Costs more to convert to int8 and back than its products gain.
            ignored_scope=nncf.IgnoredScope(
                types=["ScaledDotProductAttention"], validate=False
            ),
        )
    _log.info("quantised in %.0f s", time.perf_counter() - start)
    return quantised


def _told(inputs: int) -> Callable[[Pixels], Pixels]:
    """Return what gives a batch of one, and tells how often all were seen."""
    shown = count(1)

    def batch(pixels: Pixels) -> Pixels:
        number = next(shown)
        if number % inputs == 0:
            _log.info("pass %d over the calibration pictures", number // inputs)
        return pixels[None]

    return batch


def _nncf_version() -> str:
    try:
        return metadata.version("nncf")
    except metadata.PackageNotFoundError as error:
        raise StartUpError(
            "int8 needs NNCF, which is not installed: pip install 'dinoserve[int8]',"
            " or set DINOSERVE_PRECISION to auto."
        ) from error


@contextmanager
def _nncf() -> Generator[ModuleType]:
    """Lend NNCF without its telemetry, its bars on standard output and its log."""
    library()  # forbids the telemetry of both
    kind = logging.getLoggerClass()
    with quietly(), redirect_stdout(StringIO()):
        import nncf  # noqa: PLC0415 - an extra, and half a second that only this needs

        try:
            nncf.nncf_logger.setLevel(logging.ERROR)
            yield nncf
        finally:
            logging.setLoggerClass(kind)


def _sha256(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
