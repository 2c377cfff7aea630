import logging
from collections.abc import AsyncGenerator
from typing import cast

import pytest

from dinoserve.ports import Change
from dinoserve.services.following import in_step
from dinoserve.services.search import SearchService
from guarded_forward import until


class BrokenFeed:
    """Says that it listens, then ends in a way that nobody foresaw."""

    async def changes(self) -> AsyncGenerator[Change | None]:
        yield None
        raise KeyError("a change of an unknown shape")


class Filled:
    """As much of the search as filling its index needs."""

    async def fill(self) -> int:
        return 7


async def test_a_feed_that_ends_is_told_and_the_server_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    search = cast("SearchService", Filled())

    async with in_step(search, BrokenFeed()) as count:
        await until(lambda: "restart this one" in caplog.text)

    assert count == 7
    assert {entry.levelno for entry in caplog.records} == {logging.CRITICAL}
