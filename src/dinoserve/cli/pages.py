"""Lists of the API, page by page."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from dinoserve.cli.client import Client, Json

_MAX_PAGE = 1000


async def paged(
    client: Client, path: str, name: str, where: Mapping[str, Any], limit: int
) -> AsyncGenerator[Json]:
    """Yield what a list of the API holds.

    Args:
        client: of the server.
        path: of the list.
        name: what the answer calls the entries.
        where: which of them, as parameters of the query.
        limit: so many at most.

    Raises:
        ApiError, NoServerError: as `Client.send`.
    """
    asked = dict(where)
    while limit:
        page = await client.get(path, params={**asked, "limit": min(limit, _MAX_PAGE)})
        for one in page[name]:
            yield one
        limit -= len(page[name])
        if page["next_cursor"] is None:
            return
        asked["cursor"] = page["next_cursor"]
