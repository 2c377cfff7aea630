"""The service on a device: JPEG bytes over HTTP, from several client processes."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import repeat
from pathlib import Path
from typing import cast

import torch
from benchmarks.processes import MeasuringError, Worker, serving, working
from benchmarks.protocol import LoadOrder
from transformers.utils import logging as transformers_logging

from dinoserve.engine.weights import LoadedModel

# Threads of one process would be the limit themselves.
_PROCESSES = 4
_SCALE = 1 / 255


def images_per_s(
    model: LoadedModel, pictures: Path, device: str, clients: int, seconds: float
) -> float:
    """Return how many JPEGs a second the service embeds, sent as they are.

    Args:
        model: float32; its network is written to a folder.
        pictures: a folder that `write_pictures` wrote; the rest is put beside it.
        device: `cpu` or `cuda`.
        clients: how many send at the same time, at least four.
        seconds: how long they send; as long again goes before, to warm up.

    Raises:
        MeasuringError: the service did not start, or a request failed.
    """
    folder = pictures.parent
    _write(model, folder / "model")
    settings = {
        "DINOSERVE_MODEL": str(folder / "model"),
        "DINOSERVE_DATA": str(folder / "data"),
        "DINOSERVE_DEVICE": device,
        "DINOSERVE_CACHE_BYTES": "0",
        "DINOSERVE_MAX_WAITING_IMAGES": str(max(256, 2 * clients)),
    }
    command = ["-m", "dinoserve", "serve", "--port", "0"]
    with ExitStack() as stack:
        server = stack.enter_context(serving(command, folder / "server", settings))
        workers = [
            stack.enter_context(
                working("benchmarks.client", str(pictures), log=folder / f"client{at}")
            )
            for at in range(_PROCESSES)
        ]
        order = LoadOrder(
            url=server.url, shape="raw", clients=clients // _PROCESSES, seconds=seconds
        )
        _asked(workers, order)
        return _asked(workers, order)


def _asked(workers: Sequence[Worker], order: LoadOrder) -> float:
    with ThreadPoolExecutor(len(workers)) as pool:
        samples = list(pool.map(Worker.ask, workers, repeat(order)))
    for sample in samples:
        if sample.errors:
            raise MeasuringError(f"{sample.errors} requests: {sample.first_error}")
    return sum(sample.done for sample in samples) / max(s.wall_s for s in samples)


def _write(model: LoadedModel, folder: Path) -> None:
    transformers_logging.disable_progress_bar()
    # What this process has no use for, the service may need.
    model.network.cpu()
    torch.cuda.empty_cache()
    model.network.save_pretrained(folder)  # pyright: ignore[reportUnknownMemberType] - its options are untyped
    side = cast("int", model.network.config.image_size)
    preprocessor = {"size": {"height": side, "width": side}, "rescale_factor": _SCALE}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
