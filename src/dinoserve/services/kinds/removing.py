"""Removing vectors that another recipe's have replaced."""

import asyncio

from dinoserve.ports import DocumentStore

REST_S = 0.02
"""Seconds between two batches: as long as one takes, so that others write meanwhile."""


async def remove_vectors(
    documents: DocumentStore, recipe: str, keep: str, collection: str | None
) -> int:
    """Remove the recipe's vectors where `keep` has one too; return how many.

    Args:
        documents: where they are.
        recipe: whose vectors go.
        keep: the recipe that stays.
        collection: only of this one; None: of all.
    """
    removed = 0
    while dropped := await documents.drop(recipe, keep, collection):
        removed += len(dropped)
        await asyncio.sleep(REST_S)
    return removed
