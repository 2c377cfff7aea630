"""From prepared pictures to pixels on the device, which resizes 8-bit ones itself."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dinoserve.domain.geometry import Box, Geometry
from dinoserve.engine.forward import Prepared
from dinoserve.engine.preprocess import Preprocessing

MAX_RESIZED_PX = 2**22
"""Pixels of a picture, at most, that travel as they are, three bytes each."""

# The kernel of CUDA keeps a column of weights in shared memory (48 KiB), about two a
# step; far beyond this it refuses.
_MAX_SCALE = 16
_STAGING_BYTES = 2**26


class Upload:
    """Brings pictures to the device, from one thread at a time.

    Each is copied into page-locked memory and sent from there on a stream of its own:
    while one travels and is resized, the next is copied. Where the device is the CPU,
    the same is done in the same order.

    Args:
        device: where the pixels go.
        how: the rule and the constants that pictures are prepared by.
    """

    def __init__(self, device: torch.device, how: Preprocessing) -> None:
        self._device = device
        self._can_resize = how.rule == "hf"
        is_cuda = device.type == "cuda"
        self._stream = torch.cuda.Stream(device) if is_cuda else None
        self._staging = _staging(_STAGING_BYTES if is_cuda else 0, device)
        self._used = 0
        mean, std = (torch.tensor(v, dtype=torch.float64) for v in (how.mean, how.std))
        self._scale, self._shift = (
            value.float().view(3, 1, 1).to(device)
            for value in (1 / (255 * std), -mean / std)
        )

    def resizes(self, geometry: Geometry) -> bool:
        """Return whether such a picture may come as it is, to be resized there.

        Not by the rule `readme`, which rounds what it resized to 8 bits: there the
        kernels of CPU and CUDA differ by a whole step.
        """
        source, content = _size(geometry.source), _size(geometry.content)
        scale = max(source[0] / content[0], source[1] / content[1])
        area = geometry.image_width * geometry.image_height
        return self._can_resize and area <= MAX_RESIZED_PX and scale <= _MAX_SCALE

    def __call__(self, batch: Sequence[Prepared]) -> Tensor:
        """Return float32 (n, 3, H, W), normalised; padding is zero.

        Within 1e-5 of what the CPU prepares. They are there for the current stream.

        Args:
            batch: inputs of one size; float32 ones are normalised already.
        """
        first = batch[0].geometry
        shape = (len(batch), 3, first.height, first.width)
        pixels = torch.zeros(shape, device=self._device)
        with self._sending():
            for row, one in zip(pixels, batch, strict=True):
                if one.pixels.dtype == np.uint8:
                    self._resize(one, row)
                else:
                    row.copy_(self._send(one.pixels), non_blocking=True)
        return pixels

    def _resize(self, one: Prepared, row: Tensor) -> None:
        left, top, right, bottom = map(int, one.geometry.source)
        sent = self._send(one.pixels[top:bottom, left:right])
        resized = functional.interpolate(
            sent.permute(2, 0, 1).unsqueeze(0).float(),
            size=_size(one.geometry.content),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        left, top, right, bottom = map(int, one.geometry.content)
        place = row[:, top:bottom, left:right]
        torch.addcmul(self._shift, resized[0], self._scale, out=place)

    def _send(self, values: NDArray[np.uint8] | NDArray[np.float32]) -> Tensor:
        """Return them on the device, soon; the array may change at once."""
        if self._used + values.nbytes > len(self._staging):
            self._start_over(values.nbytes)
        end = self._used + values.nbytes
        staged = self._staging[self._used : end]
        # Every piece begins where any number may lie.
        self._used = -(-end // 64) * 64
        target = staged.numpy().view(values.dtype).reshape(values.shape)
        np.copyto(target, values)
        kind = torch.uint8 if values.dtype == np.uint8 else torch.float32
        sent = staged.to(self._device, non_blocking=True)
        return sent.view(kind).view(values.shape)

    def _start_over(self, needed: int) -> None:
        if self._stream is not None:
            self._stream.synchronize()
        if needed > len(self._staging):
            self._staging = _staging(needed, self._device)
        self._used = 0

    @contextmanager
    def _sending(self) -> Generator[None]:
        self._start_over(0)
        if self._stream is None:
            yield
            return
        computing = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(computing)
        with torch.cuda.stream(self._stream):
            yield
        computing.wait_stream(self._stream)


def _staging(size: int, device: torch.device) -> Tensor:
    is_cuda = device.type == "cuda"
    return torch.empty(size, dtype=torch.uint8, pin_memory=is_cuda)


def _size(box: Box) -> tuple[int, int]:
    return int(box.bottom - box.top), int(box.right - box.left)
