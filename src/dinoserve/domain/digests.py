"""Digests of very many objects, kept small so that all of them fit into memory."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_BYTES = 32


class DigestTable:
    """Which objects there are and how large they are: 40 bytes each.

    While it is sorted, at the first question after an `add`, it takes about three times
    as much.
    """

    def __init__(self) -> None:
        self._digests: list[NDArray[np.bytes_]] = []
        self._sizes: list[NDArray[np.int64]] = []
        self._is_sorted = True

    def __len__(self) -> int:
        return sum(map(len, self._sizes))

    def add(self, digests: Sequence[str], sizes: Sequence[int]) -> None:
        """Note objects: 64 hex digits each, and their bytes."""
        self._digests.append(_packed(digests))
        self._sizes.append(np.array(sizes, np.int64))
        self._is_sorted = False

    def sizes(self, digests: Sequence[str]) -> list[int | None]:
        """Return the bytes of every object, in order. Not there: None."""
        if not len(self):
            return [None] * len(digests)
        asked = _packed(digests)
        known, sizes = self._sorted()
        places = _places(known, asked)
        pairs = zip(known[places] == asked, sizes[places].tolist(), strict=True)
        return [size if is_there else None for is_there, size in pairs]

    def begins(self, prefixes: Sequence[str]) -> list[bool]:
        """Tell of every prefix whether an object's digest begins so, in order.

        Args:
            prefixes: an even number of hex digits each, 64 at most.
        """
        if not len(self):
            return [False] * len(prefixes)
        known, _ = self._sorted()
        found = known[_places(known, _packed(prefixes))].tolist()
        # NumPy leaves zeros at the end away.
        return [
            digest.ljust(_BYTES, b"\0").startswith(bytes.fromhex(prefix))
            for digest, prefix in zip(found, prefixes, strict=True)
        ]

    def _sorted(self) -> tuple[NDArray[np.bytes_], NDArray[np.int64]]:
        if not self._is_sorted:
            digests, sizes = np.concatenate(self._digests), np.concatenate(self._sizes)
            order = np.argsort(digests)
            self._digests, self._sizes = [digests[order]], [sizes[order]]
            self._is_sorted = True
        return self._digests[0], self._sizes[0]


def _packed(digests: Sequence[str]) -> NDArray[np.bytes_]:
    return np.array([bytes.fromhex(each) for each in digests], f"S{_BYTES}")


def _places(known: NDArray[np.bytes_], asked: NDArray[np.bytes_]) -> NDArray[np.intp]:
    """Return where the first that is no less stands; the last where there is none."""
    return np.minimum(np.searchsorted(known, asked), len(known) - 1)
