"""A file that is taken away while it is written."""

import io
from typing import Any


class Outflow(io.RawIOBase):
    """What libraries write a file to; it cannot be read, and they cannot go back."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._taken = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any, /) -> int:
        """Go on with these bytes; return how many they are."""
        self._pieces.append(bytes(data))
        return len(self._pieces[-1])

    def tell(self) -> int:
        """Return how long the file is, what was taken included."""
        return self._taken + sum(map(len, self._pieces))

    def take(self) -> bytes:
        """Return what was written since the last time; it is not kept."""
        taken = b"".join(self._pieces)
        self._pieces.clear()
        self._taken += len(taken)
        return taken
