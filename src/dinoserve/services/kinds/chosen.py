"""Sets of assets that jobs are asked of, and what of them was worked on."""

from collections.abc import Sequence
from typing import Final

from dinoserve.domain.assets import Metadata
from dinoserve.errors import InvalidInputError
from dinoserve.ports import DocumentStore, JobStore
from dinoserve.services.asset_choice import Choice
from dinoserve.services.kinds.parameters import text, texts
from dinoserve.services.kinds.planned import parts

_BATCH: Final = 1000


async def chosen_ids(
    documents: DocumentStore, parameters: Metadata, limit: int
) -> Sequence[str]:
    """Return the ids of the assets that a job names, or of its collections, rising.

    Raises:
        InvalidInputError: they are more than the limit.
    """
    one = text(parameters, "collection")
    collections = [one] if one else texts(parameters, "collections") or []
    field = "collection" if one else "collections"
    choice = Choice(texts(parameters, "assets") or [], collections, field)
    try:
        return await choice.ids(documents, limit, "Ask for fewer.")
    except InvalidInputError as error:
        raise error.at(f"parameters.{error.extra.get('field')}") from error


async def those_there(documents: DocumentStore, ids: Sequence[str]) -> list[str]:
    """Return those of the ids whose assets are there, in their order.

    Args:
        documents: the truth, not what a cache believes: what is made of the others
            would outlive them.
        ids: of assets.
    """
    there: set[str] = set()
    for start in range(0, len(ids), _BATCH):
        there.update(await documents.get(ids[start : start + _BATCH]))
    return [key for key in ids if key in there]


async def done_items(jobs: JobStore, job_id: str) -> list[str]:
    """Return the items of every chunk of which something was done."""
    return [item async for chunk in parts(jobs, job_id) for item in chunk.items]
