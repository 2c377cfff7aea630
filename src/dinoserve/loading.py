"""From settings to an embedder that is warm: beside `wiring`, what opens the engine."""

import asyncio
import logging
import os
from contextlib import AsyncExitStack

from dinoserve.domain.framing import Framing, lay_out, read_framing
from dinoserve.domain.geometry import Geometry
from dinoserve.engine.embedder import EngineLimits, QueuedEmbedder
from dinoserve.engine.forward import Forward
from dinoserve.engine.images import ImageLimits
from dinoserve.engine.stub import StubForward
from dinoserve.errors import InvalidInputError, StartUpError
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics

_log = logging.getLogger(__name__)


async def open_embedder(
    settings: Settings, metrics: Metrics, stack: AsyncExitStack
) -> QueuedEmbedder:
    """Return the embedder, warm; the stack closes it.

    Raises:
        StartUpError: the model or the device cannot be had.
    """
    forward = await asyncio.to_thread(_load_forward, settings, metrics)
    embedder = QueuedEmbedder(
        forward,
        image_limits(settings),
        EngineLimits(
            batch_images=settings.max_batch_images,
            waiting_images=settings.max_waiting_images,
            patches=settings.max_patches,
            request_patches=settings.max_request_patches,
        ),
        metrics=metrics,
    )
    await stack.enter_async_context(embedder)
    seconds = await embedder.warm_up()
    card = embedder.card
    _log.info(
        "model %s (%s, %s on %s, %s) is warm after %.2f s, recipe %s",
        card.recipe.model,
        card.kind,
        card.engine,
        card.device,
        card.precision,
        seconds,
        card.recipe.id,
    )
    return embedder


def image_limits(settings: Settings) -> ImageLimits:
    """Return what pictures may be."""
    return ImageLimits(
        max_bytes=settings.max_image_bytes,
        max_pixels=settings.max_image_pixels,
        max_side_px=settings.max_image_side_px,
    )


def _load_forward(settings: Settings, metrics: Metrics) -> Forward:
    if settings.model == "stub":
        return StubForward()
    # Before PyTorch is imported: its threads would spin for each other's cores, which
    # costs most of the throughput as soon as anything else runs on the machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Here, because importing PyTorch takes seconds that the stub does not need.
    from dinoserve.engine.fastest import Wanted, open_forward  # noqa: PLC0415
    from dinoserve.engine.preprocess import from_config  # noqa: PLC0415
    from dinoserve.engine.weights import load_model  # noqa: PLC0415

    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    model = load_model(settings.model, token=token)
    how = from_config(settings.preprocessing, model.preprocessor, model.stride_px)
    how = how.with_framing(_framing(settings, how.framing, model.stride_px))
    wanted = Wanted(
        device=settings.device,
        engine=settings.engine,
        precision=settings.precision,
        cache=settings.data / "cache" / "openvino",
        calibration=settings.calibration,
    )
    return open_forward(model, how, wanted, metrics)


def _framing(settings: Settings, default: Framing, stride_px: int) -> Framing:
    """Return size and fit that the settings name, else those of `default`.

    Raises:
        StartUpError: no framing, sides that are no multiples of `stride_px`, or more
            patches than allowed.
    """
    size = default.size if settings.size == "auto" else settings.size
    fit = None if settings.fit == "auto" else settings.fit
    try:
        framing = read_framing(size, fit)
        square = lay_out(framing, 1, 1, stride_px)
    except InvalidInputError as error:
        name = str(error.extra["field"]).upper()
        raise StartUpError(f"DINOSERVE_{name}: {error.detail}") from error
    _check_patches(square, settings.max_patches)
    return framing


def _check_patches(square: Geometry, limit: int) -> None:
    patches = square.rows * square.columns
    if patches > limit:
        raise StartUpError(
            f"A square picture becomes {square.height} x {square.width} pixels,"
            f" {patches} patches; DINOSERVE_MAX_PATCHES is {limit}: raise it, or set"
            " a smaller DINOSERVE_SIZE."
        )
