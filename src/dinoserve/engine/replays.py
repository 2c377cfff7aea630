"""Batches of a folded network: filled up to few shapes, and replayed on CUDA.

A forward of a small batch is hundreds of kernels that each take less time than their
launch. A CUDA graph launches them at once, but only for the very shape and memory that
it was recorded with.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from dinoserve.engine.folding import Folded
from dinoserve.engine.torch_forward import is_out_of_memory

_log = logging.getLogger(__name__)
_SHAPES = 16
_GRIDS = 32

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Step = Callable[[], Tensor]


def bucket(images: int) -> int:
    """Return how many pictures a batch is filled up to: 1, 2, 4, or a multiple of 8.

    So at most 7 pictures are computed for nothing.
    """
    small = (few for few in (1, 2, 4) if images <= few)
    return next(small, -(-images // 8) * 8)


class Replays:
    """A folded network for batches of any size, from one thread at a time.

    What a shape needs is kept for the 16 shapes used last, rotary tables for the 32
    grids used last. The second batch of a shape is recorded, where the device is CUDA;
    the first one is the warm-up that recording asks for, so a size that never comes
    again costs no recording. Recordings share the memory of what happens between input
    and tokens; each keeps its own input and tokens.

    Args:
        network: on the device where it is to compute.
    """

    def __init__(self, network: Folded) -> None:
        self._network = network
        self._shapes = Recent[tuple[int, ...], _Shape](_SHAPES)
        self._tables = Recent[tuple[int, int], tuple[Tensor, ...]](_GRIDS)
        self._pool: Any = None  # a handle, whose type torch keeps to itself

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return float32 (n, tokens, d) on the device, valid until the next call.

        Args:
            pixels: float (n, 3, H, W) on the device; H and W multiples of the stride.
        """
        count, _, height, width = pixels.shape
        key = (bucket(count), height, width)
        shape = self._shapes.get(key, lambda: self._shape(key, pixels.device))
        return shape.run(pixels)

    def clear(self) -> None:
        """Give back the memory of every recording."""
        self._shapes.clear()
        if self._pool is not None:
            torch.cuda.empty_cache()

    def _shape(self, key: tuple[int, ...], device: torch.device) -> "_Shape":
        images, height, width = key
        if device.type == "cuda" and self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        tables = self._tables.get(
            (height, width), lambda: self._network.tables(height, width)
        )
        given = torch.zeros(
            (images, 3, height, width), dtype=self._network.dtype, device=device
        )
        return _Shape(lambda: self._network(given, *tables), given, self._pool)


class Recent(Generic[Key, Value]):
    """The values used last, made where they are not there.

    Args:
        limit: values that are kept at most.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return the value kept under this key, or the one that `make` makes."""
        if key not in self._values:
            while len(self._values) >= self._limit:
                self._values.popitem(last=False)
            self._values[key] = make()
        self._values.move_to_end(key)
        return self._values[key]

    def clear(self) -> None:
        """Keep nothing."""
        self._values.clear()


class _Shape:
    """One shape's own input, and the step that makes tokens of it."""

    def __init__(self, step: Step, given: Tensor, pool: Any) -> None:
        self._step = step
        self._given = given
        self._pool = pool
        self._has_run = False

    def run(self, pixels: Tensor) -> Tensor:
        # Rows behind the batch keep older pictures: pictures do not see each other.
        self._given[: len(pixels)].copy_(pixels, non_blocking=True)
        if self._has_run and self._pool is not None:
            self._step, self._pool = _recorded(self._step, self._pool), None
        tokens = self._step()
        self._has_run = True
        return tokens[: len(pixels)]


def _recorded(step: Step, pool: Any) -> Step:
    """Return what repeats the step; the step itself where it cannot be recorded."""
    graph = torch.cuda.CUDAGraph()
    try:
        # Other threads may prepare pictures meanwhile; only ours is recorded.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            tokens = step()
    except Exception as error:
        if is_out_of_memory(error):
            raise
        _log.warning("a batch could not be recorded, and runs as it is: %r", error)
        return step

    def replay() -> Tensor:
        graph.replay()
        return tokens

    return replay
