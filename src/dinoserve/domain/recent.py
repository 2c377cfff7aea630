"""What was made last, by what it was made of."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

ROOM_IDS: Final = 1_000_000
"""Ids of all the sets together that one place remembers: about 100 MB at most."""


class Recent(Generic[K, V]):
    """The values that were used last; methods may be called from any thread.

    Args:
        room: what the weights of all values may be together.
    """

    def __init__(self, room: int = ROOM_IDS) -> None:
        self._room = room
        self._weight = 0
        self._kept: OrderedDict[K, tuple[V, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """Return the value, which is then the last to give way; None: forgotten."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key][0]

    def put(self, key: K, value: V, weight: int) -> None:
        """Keep a value in place of what was; others give way, or it does itself."""
        with self._lock:
            if key in self._kept:
                self._weight -= self._kept.pop(key)[1]
            self._kept[key] = value, weight
            self._weight += weight
            while self._weight > self._room:
                self._weight -= self._kept.popitem(last=False)[1][1]
