"""From settings to an embedder that is warm, and to renditions: the engine's opener."""

import asyncio
import logging
import os
from contextlib import AsyncExitStack
from functools import partial
from typing import get_args

from dinoserve.adapters.remote_embedder import RemoteEmbedder
from dinoserve.domain.assets import ImageInfo
from dinoserve.domain.framing import Framing, lay_out, read_framing
from dinoserve.domain.geometry import Geometry
from dinoserve.domain.renditions import Format, Offer
from dinoserve.engine.admission import Admission
from dinoserve.engine.distortions import DISTORTIONS, distort
from dinoserve.engine.embedder import EngineLimits, QueuedEmbedder
from dinoserve.engine.forward import Forward
from dinoserve.engine.images import ImageLimits, decode
from dinoserve.engine.pixel_reader import ThreadedPixelReader
from dinoserve.engine.renditions import PillowRedrawer
from dinoserve.engine.stub import StubForward
from dinoserve.errors import InvalidInputError, StartUpError
from dinoserve.ports import Embedder, ImageBytes, ObjectStore
from dinoserve.services.assets import AssetService
from dinoserve.services.evaluation import EvaluationService
from dinoserve.services.renditions import RenditionService
from dinoserve.services.turns import Turns
from dinoserve.settings import Settings
from dinoserve.telemetry import Metrics

_log = logging.getLogger(__name__)


async def open_embedder(
    settings: Settings, metrics: Metrics, stack: AsyncExitStack
) -> Embedder:
    """Return the embedder, warm; the stack closes it.

    Raises:
        StartUpError: the model or the device cannot be had.
        UnavailableError: `DINOSERVE_ENGINE_URL` is set, and what is there is away,
            refuses the key or is no dinoserve.
    """
    if settings.engine_url:
        return await _open_remote(settings.engine_url, settings, metrics, stack)
    return await _open_here(settings, metrics, stack)


async def _open_remote(
    url: str, settings: Settings, metrics: Metrics, stack: AsyncExitStack
) -> RemoteEmbedder:
    limits = image_limits(settings)

    def inspect(image: ImageBytes) -> ImageInfo:
        return decode(image, limits).info

    key = settings.engine_key.get_secret_value() if settings.engine_key else ""
    if not (key.isascii() and key.isprintable()):
        raise StartUpError("DINOSERVE_ENGINE_KEY: a key has printable ASCII only.")
    permits = Admission(settings.max_waiting_images, metrics)
    opened = RemoteEmbedder.open((url, key), inspect, permits, metrics)
    embedder = await stack.enter_async_context(opened)
    recipe = embedder.card.recipe
    _log.info("model %s at %s computes, recipe %s", recipe.model, url, recipe.id)
    return embedder


async def _open_here(
    settings: Settings, metrics: Metrics, stack: AsyncExitStack
) -> QueuedEmbedder:
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


def open_renditions(
    assets: AssetService, derived: ObjectStore, settings: Settings
) -> RenditionService:
    """Return what makes renditions; there is nothing to close."""
    sizes, qualities = (
        tuple(int(number) for number in text.split(","))
        for text in (settings.rendition_sizes, settings.rendition_qualities)
    )
    redrawer = PillowRedrawer(image_limits(settings))
    if lacking := set(get_args(Format)) - set(redrawer.formats):
        _log.warning("Pillow cannot write %s here", " and ".join(sorted(lacking)))
    threads = max(1, (os.cpu_count() or 1) // 2)  # the other cores are the model's
    return RenditionService(
        assets=assets,
        documents=assets.documents,
        derived=derived,
        redrawer=redrawer,
        offer=Offer(sizes, qualities),
        turns=Turns(threads, settings.max_waiting_renditions),
        metrics=assets.metrics,
    )


async def open_evaluation(
    settings: Settings, metrics: Metrics, stack: AsyncExitStack
) -> EvaluationService:
    """Return what evaluates the model; the stack closes it.

    Errors as `open_embedder`.
    """
    limits = image_limits(settings)
    return EvaluationService(
        embedder=await open_embedder(settings, metrics, stack),
        pixels=stack.enter_context(ThreadedPixelReader(limits)),
        distort=partial(distort, limits=limits),
        distortions=tuple(DISTORTIONS),
    )


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
