"""The fastest engine that proves equal to the reference, at load, on real pictures."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from dinoserve.engine.cuda_forward import CudaForward
from dinoserve.engine.model_forward import ModelForward
from dinoserve.engine.openvino_forward import OpenVinoForward, converted, precisions
from dinoserve.engine.preprocess import Preprocessing
from dinoserve.engine.quantised import (
    Pixels,
    open_quantised,
    read_calibration,
    read_picture,
    sample_pictures,
)
from dinoserve.engine.torch_forward import TorchForward
from dinoserve.engine.weights import LoadedModel
from dinoserve.errors import DinoserveError, StartUpError
from dinoserve.telemetry import Metrics


class Floor(NamedTuple):
    """Least cosine to float32 PyTorch for an engine to serve.

    Attributes:
        class_token: of the tokens that become vectors.
        others: of every register and patch.
    """

    class_token: float
    others: float


EQUAL = Floor(0.999, 0.999)
"""For what shares the recipe of float32."""

NEAR = Floor(0.99, 0.97)
"""For int8, whose recipe is its own."""

_log = logging.getLogger(__name__)
_TOGETHER = 4


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which engine is asked for; `auto` leaves it open.

    Attributes:
        device: `auto`, `cpu` or `cuda`.
        engine: `auto`, `torch` or `openvino`.
        precision: `auto`, `fp32`, `bf16`, `fp16` or `int8`.
        cache: folder that keeps converted models; None keeps none.
        calibration: folder of pictures for int8; None is those of the package.
    """

    device: str = "auto"
    engine: str = "auto"
    precision: str = "auto"
    cache: Path | None = None
    calibration: Path | None = None


class _Loaded(NamedTuple):
    """What every candidate starts from."""

    model: LoadedModel
    preprocessing: Preprocessing
    reference: TorchForward


def open_forward(
    model: LoadedModel, preprocessing: Preprocessing, wanted: Wanted, metrics: Metrics
) -> ModelForward:
    """Return the fastest engine that is equal to the reference; int8 if it is near.

    One that fails, or differs, is passed over with a line in the log and a count in
    the figures; the reference itself, float32 PyTorch, is always equal.

    Raises:
        StartUpError: device, engine or precision cannot be had on this machine, or
            the calibration has no pictures.
    """
    reference = TorchForward(model, preprocessing, wanted.device)
    loaded = _Loaded(model, preprocessing, reference)
    for engine, precision in _candidates(wanted, reference.card.device):
        if (engine, precision) == ("torch", "fp32"):
            break
        try:
            return _proved(engine, precision, loaded, wanted)
        except StartUpError:
            raise
        except Exception as error:  # noqa: BLE001 - any engine may fail in its own way; the reference remains
            reason = error.detail if isinstance(error, DinoserveError) else repr(error)
            _log.warning("%s in %s does not serve: %s", engine, precision, reason)
            metrics.fallbacks.labels(engine, precision).inc()
    return reference


def lowest_cosine(fast: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Return the least cosine over all tokens; NaN where one is not finite.

    Args:
        fast: float32 (n, tokens, d).
        reference: the same shape.
    """
    left, right = fast.astype(np.float64), reference.astype(np.float64)
    lengths = np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)
    with np.errstate(all="ignore"):  # NaN is the answer for what is not finite
        return float(np.min(np.sum(left * right, axis=-1) / lengths))


def _candidates(wanted: Wanted, device: str) -> Iterator[tuple[str, str]]:
    engine, precision = wanted.engine, wanted.precision
    if engine == "openvino" and device != "cpu":
        raise StartUpError(
            "The engine openvino is for the CPU; set DINOSERVE_DEVICE=cpu or"
            " DINOSERVE_ENGINE=auto."
        )
    if precision == "int8" and (device != "cpu" or engine == "torch"):
        raise StartUpError(
            "The precision int8 is for the engine openvino on the CPU; set"
            " DINOSERVE_DEVICE=cpu and DINOSERVE_ENGINE=auto, or another"
            " DINOSERVE_PRECISION."
        )
    is_open = engine == "auto" or device == "cuda"
    engines = _ENGINES[device] if is_open else [engine]
    if precision == "int8":
        yield "openvino", "int8"
        precision = "auto"
    for name in engines:
        for kind in [precision] if precision != "auto" else _precisions(name, device):
            yield name, kind


# `cuda` is PyTorch too, folded and recorded; where it fails, PyTorch as it is remains.
_ENGINES = {"cpu": ["openvino", "torch"], "cuda": ["cuda", "torch"]}


def _precisions(engine: str, device: str) -> list[str]:
    """Return what is worth trying, fastest first."""
    has_bf16 = device == "cuda" or (engine == "openvino" and "bf16" in precisions())
    return ["bf16", "fp32"] if has_bf16 else ["fp32"]


def _proved(
    engine: str, precision: str, loaded: _Loaded, wanted: Wanted
) -> ModelForward:
    model, how, reference = loaded
    if precision == "int8":
        calibration = read_calibration(wanted.calibration, reference, how)
        forward = open_quantised(model, how, calibration, wanted.cache)
        return _judged(forward, loaded, calibration.held_out, NEAR)
    if engine == "openvino":
        graph = converted(model, wanted.cache)
        forward = OpenVinoForward(model, how, precision, graph)
    elif engine == "cuda":
        forward = CudaForward(model, how, wanted.device, precision)
        _check_prepared(forward, reference)
    else:
        forward = TorchForward(model, how, wanted.device, precision)
    images = (read_picture(file) for file in sample_pictures())
    # Float32, because nothing resizes on the device here.
    pixels = [cast("Pixels", reference.prepare(image).pixels) for image in images]
    return _judged(forward, loaded, pixels, EQUAL)


def _judged(
    forward: ModelForward, loaded: _Loaded, pixels: Sequence[Pixels], floor: Floor
) -> ModelForward:
    found = [
        _lowest(forward.all_tokens(batch).copy(), loaded.reference.all_tokens(batch))
        for batch in _batches(pixels, loaded.model.stride_px)
    ]
    lowest = Floor(*np.min(found, axis=0).tolist())  # NaN if one is
    if not (lowest.class_token >= floor.class_token and lowest.others >= floor.others):
        raise ValueError(
            f"cosine to float32 {lowest.class_token:.6f} of class tokens and"
            f" {lowest.others:.6f} of others; {floor.class_token} and {floor.others}"
            " are asked for"
        )
    class_token, others = (round(cosine, 6) for cosine in lowest)
    forward.with_detail("parity_cosine", class_token)
    return forward.with_detail("parity_patch_cosine", others)


def _check_prepared(forward: CudaForward, reference: TorchForward) -> None:
    """Judge from the picture on, because this engine resizes on the device."""
    for file in sample_pictures():
        image = read_picture(file)
        fast, slow = (one.tokens([one.prepare(image)]) for one in (forward, reference))
        cosine = lowest_cosine(fast, slow)
        if not cosine >= EQUAL.others:  # NaN too
            raise ValueError(f"cosine to float32 {cosine:.6f} of a picture it resized")


def _lowest(fast: Pixels, reference: Pixels) -> Floor:
    return Floor(
        lowest_cosine(fast[:, :1], reference[:, :1]),
        lowest_cosine(fast[:, 1:], reference[:, 1:]),
    )


def _batches(pixels: Sequence[Pixels], stride_px: int) -> Iterator[Pixels]:
    """Yield inputs alone, together and of another size: engines take other paths."""
    first = pixels[0][None]
    yield first
    if first.shape[2] > stride_px:
        yield first[:, :, :-stride_px]
    by_shape: dict[tuple[int, ...], list[Pixels]] = {}
    for one in pixels:
        by_shape.setdefault(one.shape, []).append(one)
    for alike in by_shape.values():
        for start in range(0, len(alike), _TOGETHER):
            yield np.stack(alike[start : start + _TOGETHER])
