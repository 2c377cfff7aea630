"""Admission: how many images may wait, and whose."""

import math
import time
from collections.abc import Generator
from contextlib import contextmanager

from dinoserve.domain.urgency import Priority, priority
from dinoserve.errors import InvalidInputError, OverloadedError
from dinoserve.ports import EngineLoad
from dinoserve.telemetry import Metrics

BULK_SHARE = 3 / 4
"""The part of all permits that bulk may hold, so that the rest is left for others."""

_MAX_RETRY_S = 60


class Admission:
    """Permits for images; none left means refusal, never a second queue.

    Attributes:
        image_s: seconds one image has lately taken; 0 before the first.

    Args:
        capacity: permits there are; of these bulk may hold `BULK_SHARE`, at least one.
        metrics: gets `waiting`, `waiting_bulk` and `oldest_seconds`.
    """

    def __init__(self, capacity: int, metrics: Metrics) -> None:
        self._limits: dict[Priority, int] = {
            "interactive": capacity,
            "bulk": max(1, int(capacity * BULK_SHARE)),
        }
        self._held: dict[Priority, int] = {"interactive": 0, "bulk": 0}
        self._since: dict[object, float] = {}
        self.image_s = 0.0
        metrics.waiting.set_function(lambda: self.load().waiting)
        metrics.waiting_bulk.set_function(lambda: self.load().bulk)
        metrics.oldest_seconds.set_function(lambda: self.load().oldest_s)

    def load(self) -> EngineLoad:
        """Return how many permits are held, by whom, and for how long they will be."""
        oldest_s = 0.0
        if self._since:
            oldest_s = time.perf_counter() - min(self._since.values())
        waiting = sum(self._held.values())
        wait_s = math.ceil(waiting * self.image_s)
        return EngineLoad(
            waiting=waiting,
            capacity=self._limits["interactive"],
            bulk=self._held["bulk"],
            oldest_s=oldest_s,
            retry_after_s=max(1, min(_MAX_RETRY_S, wait_s)),
        )

    @contextmanager
    def hold(self, images: int) -> Generator[None]:
        """Hold one permit per image during the block, of the caller's priority.

        Raises:
            InvalidInputError: more images than this priority may ever hold.
            OverloadedError: fewer permits are left.
        """
        who = priority.get()
        self._check(images, who)
        call, start = object(), time.perf_counter()
        self._held[who] += images
        self._since[call] = start
        ahead = sum(self._held.values())
        try:
            yield
            self._learn((time.perf_counter() - start) / ahead)
        finally:
            self._held[who] -= images
            del self._since[call]

    def _check(self, images: int, who: Priority) -> None:
        limit = self._limits[who]
        if images > limit:
            raise InvalidInputError(
                f"One call may hold {limit} images; this one has {images}.",
                field="images",
                limit=limit,
                value=images,
            )
        waiting, capacity, *_ = self.load()
        if waiting + images > capacity:
            raise self._overloaded(f"{waiting} images are waiting; {capacity} may.")
        held = self._held[who]
        if held + images > limit:
            raise self._overloaded(f"{held} {who} images are waiting; {limit} may.")

    def _overloaded(self, detail: str) -> OverloadedError:
        return OverloadedError(detail, retry_after_s=self.load().retry_after_s)

    def _learn(self, image_s: float) -> None:
        # Little's law: time in the system over images in it is seconds per image.
        # The weight 0.2 remembers about the last ten calls.
        weight = 0.2 if self.image_s else 1.0
        self.image_s += weight * (image_s - self.image_s)
