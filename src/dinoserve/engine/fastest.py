"""The fastest engine that proves equal to the reference, at load, on real pictures."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dinoserve.engine.images import ImageLimits, decode
from dinoserve.engine.model_forward import ModelForward
from dinoserve.engine.openvino_forward import OpenVinoForward, precisions
from dinoserve.engine.preprocess import Preprocessing
from dinoserve.engine.torch_forward import TorchForward
from dinoserve.engine.weights import LoadedModel
from dinoserve.errors import DinoserveError, StartUpError
from dinoserve.telemetry import Metrics

PARITY = 0.999
"""Least cosine to float32 PyTorch, of every token, for an engine to serve."""

_log = logging.getLogger(__name__)
_OWN_LIMITS = ImageLimits(max_bytes=10**6, max_pixels=10**6, max_side_px=10**4)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which engine is asked for; `auto` leaves it open.

    Attributes:
        device: `auto`, `cpu` or `cuda`.
        engine: `auto`, `torch` or `openvino`.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        cache: folder that keeps converted models; None keeps none.
    """

    device: str = "auto"
    engine: str = "auto"
    precision: str = "auto"
    cache: Path | None = None


def open_forward(
    model: LoadedModel, preprocessing: Preprocessing, wanted: Wanted, metrics: Metrics
) -> ModelForward:
    """Return the fastest engine that is equal to the reference.

    One that fails, or differs, is passed over with a line in the log and a count in
    the figures; the reference itself, float32 PyTorch, is always equal.

    Raises:
        StartUpError: device, engine or precision cannot be had on this machine.
    """
    reference = TorchForward(model, preprocessing, wanted.device)
    pixels = _pixels(reference)
    for engine, precision in _candidates(wanted, reference.card.device):
        if (engine, precision) == ("torch", "fp32"):
            break
        try:
            forward = _open(engine, precision, model, preprocessing, wanted)
            return _proved(forward, reference, pixels)
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
    engines = [engine] if engine != "auto" else _ENGINES[device]
    for name in engines:
        for kind in [precision] if precision != "auto" else _precisions(name, device):
            yield name, kind


_ENGINES = {"cpu": ["openvino", "torch"], "cuda": ["torch"]}


def _precisions(engine: str, device: str) -> list[str]:
    """Return what is worth trying, fastest first."""
    has_bf16 = device == "cuda" or (engine == "openvino" and "bf16" in precisions())
    return ["bf16", "fp32"] if has_bf16 else ["fp32"]


def _open(
    engine: str,
    precision: str,
    model: LoadedModel,
    preprocessing: Preprocessing,
    wanted: Wanted,
) -> ModelForward:
    if engine == "openvino":
        return OpenVinoForward(model, preprocessing, precision, wanted.cache)
    return TorchForward(model, preprocessing, wanted.device, precision)


def _proved(
    forward: ModelForward, reference: ModelForward, pixels: NDArray[np.float32]
) -> ModelForward:
    # Alone and together: engines take other paths for other batches.
    cosine = min(
        lowest_cosine(forward.all_tokens(batch).copy(), reference.all_tokens(batch))
        for batch in (pixels[:1], pixels)
    )
    if not cosine >= PARITY:  # NaN too
        raise ValueError(f"cosine {cosine:.6f} to float32; {PARITY} is asked for")
    return forward.with_detail("parity_cosine", round(cosine, 6))


def _pixels(forward: ModelForward) -> NDArray[np.float32]:
    folder = resources.files("dinoserve") / "engine" / "pictures"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".jpg")),
        key=lambda file: file.name,
    )
    images = [decode(file.read_bytes(), _OWN_LIMITS) for file in files]
    return np.stack([forward.prepare(image.rgb) for image in images])
