"""Which assets show a character, as far as references, reviews and checks tell."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Final

from dinoserve.domain.character_members import Membership, accepted, look_alike
from dinoserve.domain.characters import Character, Check
from dinoserve.errors import CharacterNotFoundError, InvalidInputError
from dinoserve.ports import CalibrationQuery, CharacterStore, CheckQuery, Space

_FIELD: Final = "filter.character"
_TOGETHER: Final = 500


async def members(
    characters: CharacterStore, wanted: Membership, space: Space
) -> frozenset[str]:
    """Return the ids of the character's assets.

    They are its references, what reviews say shows the same, and what has a stored
    check of the recipe whose foreground cosine is at least `min_score`. Without one it
    is the threshold of the newest calibration of that score; without a calibration,
    checks do not count.

    Raises:
        CharacterNotFoundError: there is no such character.
        InvalidInputError: it is of another collection.
    """
    character = await _found(characters, wanted.character_id, space.collection)
    reviewed = await characters.reviews.get(space.collection)
    pairs = [each.pair for each in reviewed]
    found = await asyncio.to_thread(accepted, character, pairs)
    least = wanted.min_score
    if least is None:
        least = await _threshold(characters, space)
    if least is not None:
        async for checks in _checks(characters, CheckQuery(character.id, space.recipe)):
            found |= look_alike(checks, least)
    return frozenset(found)


async def _found(
    characters: CharacterStore, character_id: str, collection: str
) -> Character:
    character = await characters.get(character_id)
    if character is None:
        raise CharacterNotFoundError(
            f"No character has the id {character_id}.",
            field=f"{_FIELD}.id",
            value=character_id,
        )
    if character.collection != collection:
        raise InvalidInputError(
            f"The character is of collection {character.collection}, not of"
            f" {collection}.",
            field=f"{_FIELD}.id",
            limit=collection,
            value=character.collection,
        )
    return character


async def _threshold(characters: CharacterStore, space: Space) -> float | None:
    query = CalibrationQuery(space.collection, space.recipe, "foreground", limit=1)
    page = await characters.calibrations.find(query)
    return page.calibrations[0].calibration.threshold if page.calibrations else None


async def _checks(
    characters: CharacterStore, query: CheckQuery
) -> AsyncGenerator[list[Check]]:
    query = replace(query, limit=_TOGETHER)
    while True:
        page = await characters.checks(query)
        yield page.checks
        if page.next is None:
            return
        query = replace(query, after=page.next)
