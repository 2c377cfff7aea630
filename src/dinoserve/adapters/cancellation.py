"""Calls of drivers that can be given up."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import cast


@contextmanager
def cancellable() -> Generator[None]:
    """Keep a cancellation that comes during the block, for those who wait for the end.

    Drivers send and read by `asyncio.wait_for`, which in Python 3.11 forgets one that
    comes in the moment in which it has waited long enough (CPython issue 86296, mended
    in 3.12): the task would go on, and its end be waited for in vain.

    Raises:
        CancelledError: one came, whatever else the block gave.
    """
    task = cast("asyncio.Task[object]", asyncio.current_task())
    before = task.cancelling()
    try:
        yield
    finally:
        if task.cancelling() > before:
            raise asyncio.CancelledError
