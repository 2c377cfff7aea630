"""Copying characters: from one document store into another, as often as one likes."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Final

from dinoserve.domain.characters import Character, Check
from dinoserve.domain.kept_calibrations import KeptCalibration
from dinoserve.ports import CalibrationQuery, CharacterQuery, CheckQuery, DocumentStore
from dinoserve.services.copying import pages

CHARACTER_DIFFERS: Final = (
    "the character, calibration or reviews are missing, or they or checks differ"
)
"""What is said of what the target lacks."""


async def copy_characters(source: DocumentStore, target: DocumentStore) -> None:
    """Copy characters, checks, calibrations and reviews; after recipes and assets.

    A reference whose asset is not in the target is left out there, and so are checks
    that such an asset is part of.

    Raises:
        UnavailableError: a store failed.
        StorageFullError: the target is full.
    """
    async for character in _characters(source):
        await _copy(character, target)
        async for checks in _checks(source, character.id):
            await target.characters.keep(checks)
    async for calibrations in _calibrations(source):
        for kept in calibrations:
            await target.characters.calibrations.put(kept)
    for collection in await _collections(source):
        reviewed = await source.characters.reviews.get(collection)
        await target.characters.reviews.put(collection, reviewed)


async def lacking_characters(source: DocumentStore, target: DocumentStore) -> list[str]:
    """Return what of it is not in the target as here; errors as `copy_characters`.

    Ids of characters, whose checks are compared as well, and of calibrations; and
    collections, where what reviews decided is missing or differs.
    """
    collections = [
        name
        for name in await _collections(source)
        if await target.characters.reviews.get(name)
        != await source.characters.reviews.get(name)
    ]
    calibrations = [
        kept.id
        async for page in _calibrations(source)
        for kept in page
        if await target.characters.calibrations.get(kept.id) != kept
    ]
    return (
        collections
        + calibrations
        + [
            character.id
            async for character in _characters(source)
            if await target.characters.get(character.id) != character
            or await _all_checks(source, character.id)
            != await _all_checks(target, character.id)
        ]
    )


async def _copy(character: Character, target: DocumentStore) -> None:
    there = await target.get([each.asset_id for each in character.references])
    kept = tuple(each for each in character.references if each.asset_id in there)
    copy = replace(character, references=kept)
    await target.characters.edit(character.id, lambda _: copy)


async def _characters(documents: DocumentStore) -> AsyncGenerator[Character]:
    query = CharacterQuery()
    while True:
        page = await documents.characters.find(query)
        for character in page.characters:
            yield character
        if page.next is None:
            return
        query = replace(query, after=page.next)


async def _collections(documents: DocumentStore) -> list[str]:
    names = {asset.collection async for page in pages(documents) for asset in page}
    return sorted(names)


async def _calibrations(
    documents: DocumentStore,
) -> AsyncGenerator[list[KeptCalibration]]:
    query = CalibrationQuery()
    while True:
        page = await documents.characters.calibrations.find(query)
        yield page.calibrations
        if page.next is None:
            return
        query = replace(query, after=page.next)


async def _checks(
    documents: DocumentStore, character_id: str
) -> AsyncGenerator[list[Check]]:
    for recipe in await documents.recipes():
        query = CheckQuery(character_id, recipe.id)
        while True:
            page = await documents.characters.checks(query)
            yield page.checks
            if page.next is None:
                break
            query = replace(query, after=page.next)


async def _all_checks(documents: DocumentStore, character_id: str) -> list[Check]:
    pages = [page async for page in _checks(documents, character_id)]
    return [check for page in pages for check in page]
