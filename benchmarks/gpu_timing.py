"""How often a second something runs on a device, within a time that is set."""

import time
from collections.abc import Callable

import torch

Step = Callable[[], object]


class Clock:
    """Measures steps, and knows when the time is over.

    Args:
        device: waited for before a time is taken.
        sample_s: seconds that a measurement takes; a slow step is run twice.
        budget_s: seconds from now after which nothing new is begun.
    """

    def __init__(self, device: torch.device, sample_s: float, budget_s: float) -> None:
        self._device = device
        self._sample_s = sample_s
        self._end = time.perf_counter() + budget_s

    @property
    def left_s(self) -> float:
        """Return the seconds that are left."""
        return self._end - time.perf_counter()

    def section(self, seconds: float) -> "Clock":
        """Return a clock that ends after so many seconds, or with this one."""
        return Clock(self._device, self._sample_s, min(seconds, self.left_s))

    def per_s(self, step: Step) -> float:
        """Return how often a second the step runs, after two runs to warm up."""
        for _ in range(2):
            step()
        once = self._timed(step, 1)
        return self._per_s(step, max(1, round(self._sample_s / once)))

    def _per_s(self, step: Step, times: int) -> float:
        return times / self._timed(step, times)

    def _timed(self, step: Step, times: int) -> float:
        self._wait()
        start = time.perf_counter()
        for _ in range(times):
            step()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def ceiling_tflop_per_s(device: torch.device, clock: Clock, *, quick: bool) -> float:
    """Return the best rate of a bf16 product of matrices, in 10^12 operations a second.

    What no network made of such products can pass on this device and this PyTorch.
    """
    sides = (64, 128) if quick else (2048, 4096, 8192, 16384)
    return max(_product_tflop_per_s(device, clock, side) for side in sides)


def _product_tflop_per_s(device: torch.device, clock: Clock, side: int) -> float:
    left, right = (
        torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in "lr"
    )
    return clock.per_s(lambda: left @ right) * 2 * side**3 / 1e12
