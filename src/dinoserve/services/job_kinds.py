"""What a kind of job must know: to find its items, do some of them, and end."""

from collections.abc import AsyncGenerator, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from dinoserve.domain.assets import Metadata
from dinoserve.domain.jobs import Chunk, Job, Outcome


class Found(NamedTuple):
    """Items that a plan found, and where it goes on behind them.

    Attributes:
        items: what `work` is given, in chunks; text that means something to the kind.
        cursor: given to `plan` to go on behind these items.
    """

    items: Sequence[str]
    cursor: str


class JobKind(Protocol):
    """One kind of job. Every method may be asked twice for the same.

    Raises:
        InvalidInputError, NotFoundError, ConflictError: of `plan` and `finish`: the
            job cannot be done at all.
        DinoserveError: of `work`: none of these items could be done now; they will
            be tried again.
    """

    @property
    def name(self) -> str:
        """Return what it is called, e.g. `embed`."""
        ...

    @property
    def chunk_items(self) -> int:
        """Return how many items a chunk has at most."""
        ...

    @property
    def has_finish(self) -> bool:
        """Tell whether `finish` makes something of what the chunks did."""
        ...

    def items(self, parameters: Metadata) -> Sequence[str] | None:
        """Return the items if the parameters name them; None: `plan` finds them."""
        ...

    def plan(self, job: Job, cursor: str | None) -> AsyncGenerator[Found]:
        """Yield the job's items, those behind the cursor if there is one."""
        ...

    async def work(self, job: Job, chunk: Chunk) -> Outcome:
        """Do the chunk's items; one that cannot be done is among the failures."""
        ...

    async def finish(self, job: Job) -> Metadata:
        """Return the job's result, once every chunk has ended."""
        ...


def grouped(items: Sequence[str], size: int) -> list[list[str]]:
    """Return the items in lists of this size, the last one perhaps shorter."""
    rest = iter(items)
    return list(iter(lambda: list(islice(rest, size)), []))
