"""Characters and their checks in dictionaries."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from dinoserve.adapters.memory.calibrations import MemoryCalibrations
from dinoserve.adapters.memory.relations import MemoryRelations
from dinoserve.adapters.memory.reviews import MemoryReviews
from dinoserve.domain.assets import Asset, Metadata
from dinoserve.domain.characters import Character, Check
from dinoserve.domain.paging import Cursor
from dinoserve.errors import AssetNotFoundError, InvalidInputError
from dinoserve.ports import (
    CalibrationStore,
    CharacterEdit,
    CharacterPage,
    CharacterQuery,
    CheckPage,
    CheckQuery,
    ReviewStore,
)


class MemoryCharacters:
    """`ports.CharacterStore` in dictionaries.

    Args:
        assets: records by id, as the document store has them.
        relations: go with their character.

    Raises:
        InvalidInputError: text that is not Unicode, in what is stored.
    """

    def __init__(self, assets: Mapping[str, Asset], relations: MemoryRelations) -> None:
        self._assets = assets
        self._relations = relations
        self._characters: dict[str, Character] = {}
        self._checks: dict[tuple[str, str, str], Check] = {}
        self._calibrations = MemoryCalibrations()
        self._reviews = MemoryReviews(assets)

    @property
    def calibrations(self) -> CalibrationStore:
        """What scores of checks mean."""
        return self._calibrations

    @property
    def reviews(self) -> ReviewStore:
        """What was decided of pairs of assets."""
        return self._reviews

    async def edit(self, character_id: str, edit: CharacterEdit) -> Character:
        """Store and return what `edit` makes of the character."""
        before = await self.get(character_id)
        edited = edit(before)
        for reference in edited.references:
            if reference.asset_id not in self._assets:
                raise AssetNotFoundError(
                    f"No asset has the id {reference.asset_id}.",
                    value=reference.asset_id,
                )
        self._characters[edited.id] = _copy(edited)
        if before and replace(edited, references=before.references) != before:
            self._relations.mark_edited(f"character:{character_id}")
        return edited

    async def get(self, character_id: str) -> Character | None:
        """Return the character. Absent: None."""
        found = self._characters.get(character_id)
        return found and _copy(found)

    async def find(self, query: CharacterQuery) -> CharacterPage:
        """Return a page, newest first, then by descending id."""
        found = sorted(
            (
                each
                for each in self._characters.values()
                if query.collection in {None, each.collection}
                and _is_behind(_place(each), query.after)
            ),
            key=lambda each: (each.created_at, each.id),
            reverse=True,
        )
        page = [_copy(each) for each in found[: query.limit]]
        is_last = len(found) <= query.limit
        return CharacterPage(page, None if is_last else _place(page[-1]))

    async def remove(self, character_id: str) -> bool:
        """Erase the character with its checks; tell whether it was there."""
        self._checks = {
            key: each for key, each in self._checks.items() if key[0] != character_id
        }
        self._relations.forget(f"character:{character_id}")
        return self._characters.pop(character_id, None) is not None

    def has(self, character_id: str) -> bool:
        """Tell whether the character is there."""
        return character_id in self._characters

    async def keep(self, checks: Sequence[Check]) -> None:
        """Store each whose character and assets are there."""
        copies = [each._replace(findings=_json(each.findings)) for each in checks]
        for each in copies:
            if (
                each.character_id in self._characters
                and {each.asset_id, each.reference_id} <= self._assets.keys()
            ):
                self._checks[each.character_id, each.asset_id, each.recipe] = each

    async def checks(self, query: CheckQuery) -> CheckPage:
        """Return a page, newest first, then by descending asset id."""
        found = sorted(
            (
                each
                for each in self._checks.values()
                if (each.character_id, each.recipe)
                == (query.character_id, query.recipe)
                and _is_behind(_check_place(each), query.after)
            ),
            key=lambda each: (each.checked_at, each.asset_id),
            reverse=True,
        )
        page = [
            each._replace(findings=_json(each.findings))
            for each in found[: query.limit]
        ]
        is_last = len(found) <= query.limit
        return CheckPage(page, None if is_last else _check_place(page[-1]))

    def forget(self, asset_id: str) -> None:
        """Take an asset out of references, checks and reviews."""
        self._reviews.forget(asset_id)
        for each in list(self._characters.values()):
            kept = tuple(one for one in each.references if one.asset_id != asset_id)
            self._characters[each.id] = replace(each, references=kept)
        self._checks = {
            key: each
            for key, each in self._checks.items()
            if asset_id not in {each.asset_id, each.reference_id}
        }


def _place(character: Character) -> Cursor:
    return Cursor(character.created_at, character.id)


def _check_place(check: Check) -> Cursor:
    return Cursor(check.checked_at, check.asset_id)


def _is_behind(place: Cursor, after: Cursor | None) -> bool:
    if after is None:
        return True
    return (place.created_at, place.id) < (after.created_at, after.id)


def _copy(character: Character) -> Character:
    """Return the character as JSON would carry it; nothing that changes is shared."""
    told = {"name": character.name, "attributes": dict(character.attributes)}
    return replace(character, attributes=_json(told)["attributes"])


def _json(value: Metadata) -> dict[str, object]:
    text = json.dumps(dict(value), ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            "Text must be Unicode without lone surrogates."
        ) from error
    return json.loads(text)
