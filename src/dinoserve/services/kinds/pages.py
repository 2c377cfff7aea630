"""Walking over assets so that the walk can be taken up again."""

from collections.abc import AsyncGenerator
from dataclasses import replace

from dinoserve.domain.assets import Asset
from dinoserve.domain.paging import AssetQuery, Cursor
from dinoserve.ports import DocumentStore


async def pages(
    documents: DocumentStore, query: AssetQuery, place: str | None
) -> AsyncGenerator[tuple[list[Asset], str]]:
    """Yield pages of assets, newest first, each with the place behind it.

    Args:
        documents: where they are.
        query: which; its `limit` is the size of a page.
        place: as this gave it out; None: from the start. Assets that are stored while
            the walk goes on are not met.
    """
    after = Cursor.decode(place) if place else None
    while True:
        page = await documents.find(replace(query, after=after))
        if page.assets:
            last = page.assets[-1]
            yield page.assets, Cursor(last.created_at, last.id).encode()
        if page.next is None:
            return
        after = page.next
