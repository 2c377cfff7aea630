"""What writes tables in formats of others."""

from collections.abc import AsyncGenerator, AsyncIterable
from typing import Protocol

from dinoserve.domain.tables import Table


class TableWriter(Protocol):
    """Writes one table of assets into a file."""

    def write(
        self, parts: AsyncIterable[Table], dimension: int
    ) -> AsyncGenerator[bytes]:
        """Yield the file; one part at a time is in memory.

        Args:
            parts: of the table, in order.
            dimension: numbers in each vector; 0: there are none, and no `recipe`.
        """
        ...
