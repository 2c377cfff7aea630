"""Characters: kept with their references, changed, erased."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from dinoserve.domain.assets import (
    Asset,
    Metadata,
    check_collection,
    check_metadata,
)
from dinoserve.domain.characters import (
    MAX_REFERENCES,
    Character,
    Reference,
    check_box,
    check_each_once,
    check_mask,
)
from dinoserve.errors import (
    AssetNotFoundError,
    CharacterNotFoundError,
    InvalidInputError,
)
from dinoserve.ports import (
    CharacterEdit,
    CharacterPage,
    CharacterQuery,
    CheckPage,
    CheckQuery,
    DocumentStore,
    PixelReader,
)
from dinoserve.services.evidence import EvidenceService


@dataclass(frozen=True, slots=True)
class NewCharacter:
    """What is said of a character when it is made."""

    name: str
    collection: str = "default"
    references: tuple[Reference, ...] = ()
    attributes: Metadata = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class CharacterChanges:
    """What to change; None leaves a field."""

    name: str | None = None
    references: tuple[Reference, ...] | None = None
    attributes: Metadata | None = None

    def applied_to(self, character: Character) -> Character:
        """Return the character after the change."""
        return replace(
            character,
            name=character.name if self.name is None else self.name,
            references=(
                character.references if self.references is None else self.references
            ),
            attributes=(
                character.attributes if self.attributes is None else self.attributes
            ),
        )


@dataclass(frozen=True, slots=True)
class CharacterService:
    """Keeps, shows, changes and erases characters."""

    documents: DocumentStore
    pixels: PixelReader
    now: Callable[[], datetime]
    evidence: EvidenceService

    async def create(self, new: NewCharacter) -> Character:
        """Return the character, durable.

        Raises:
            InvalidInputError: what is said of it cannot be used.
            AssetNotFoundError: a reference is no asset.
        """
        check_collection(new.collection)
        _check_attributes(new.attributes)
        await self._check_references(new.references, new.collection)
        character = Character(
            id=secrets.token_hex(16),
            collection=new.collection,
            name=new.name,
            references=new.references,
            created_at=self.now(),
            attributes=new.attributes,
        )
        return await self._edited(character.id, lambda _: character, is_shown=True)

    async def get(self, character_id: str) -> Character:
        """Return the character. Absent: CharacterNotFoundError."""
        if found := await self.documents.characters.get(character_id):
            return found
        raise _absent(character_id)

    async def find(self, query: CharacterQuery) -> CharacterPage:
        """Return a page of characters, newest first."""
        return await self.documents.characters.find(query)

    async def change(self, character_id: str, changes: CharacterChanges) -> Character:
        """Return the character after the change. Absent: CharacterNotFoundError.

        Raises:
            InvalidInputError, AssetNotFoundError: as `create`; nothing is changed.
        """
        collection = (await self.get(character_id)).collection
        if changes.attributes is not None:
            _check_attributes(changes.attributes)
        if changes.references is not None:
            await self._check_references(changes.references, collection)

        def edit(found: Character | None) -> Character:
            if found is None:
                raise _absent(character_id)
            return changes.applied_to(found)

        is_shown = changes.references is not None
        return await self._edited(character_id, edit, is_shown=is_shown)

    async def remove(self, character_id: str) -> None:
        """Erase the character with its checks. Absent: CharacterNotFoundError."""
        if not await self.documents.characters.remove(character_id):
            raise _absent(character_id)

    async def checks(self, query: CheckQuery) -> CheckPage:
        """Return what checks found, newest first. Absent: CharacterNotFoundError."""
        await self.get(query.character_id)
        return await self.documents.characters.checks(query)

    async def check_shown(
        self, shown: Mapping[str, Reference], collection: str
    ) -> dict[str, Asset]:
        """Return the assets by id if all are of the collection, and regions in them.

        Args:
            shown: assets, each with where the subject is, by what the caller calls
                them, for `field`.
            collection: that they must be of.

        Raises:
            AssetNotFoundError: one does not exist.
            InvalidInputError: one is of another collection, its box lies outside the
                picture, or its mask is none.
        """
        found = await self.documents.get([each.asset_id for each in shown.values()])
        for place, each in shown.items():
            asset = _of_collection(found.get(each.asset_id), each, collection, place)
            if each.region.box is not None:
                check_box(each.region.box, asset, f"{place}.box")
            if each.region.mask is not None:
                check_mask(each.region.mask, asset, f"{place}.mask")
        return found

    async def mask(self, png: bytes, name: str) -> NDArray[np.bool_]:
        """Return bool (height, width): where a mask is not black.

        Raises:
            InvalidInputError: it cannot be decoded, or is black all over.
        """
        try:
            picture = await self.pixels.pixels(png)
        except InvalidInputError as error:
            raise error.at(name) from error
        mask = np.any(picture, axis=-1)
        if not mask.any():
            raise InvalidInputError("The mask is black all over.", field=name)
        return mask

    async def _edited(
        self, character_id: str, edit: CharacterEdit, *, is_shown: bool
    ) -> Character:
        """Return what was stored; `is_shown`: its relations follow."""
        if not is_shown:
            return await self.documents.characters.edit(character_id, edit)
        self.evidence.owe(character_id)
        edited = await self.documents.characters.edit(character_id, edit)
        await self.evidence.changed(character_id)
        return edited

    async def _check_references(
        self, references: Sequence[Reference], collection: str
    ) -> None:
        check_each_once(references, "references", MAX_REFERENCES)
        await self.check_shown(numbered("references", references), collection)
        for at, each in enumerate(references):
            if each.region.mask is not None:
                await self.mask(each.region.mask, f"references[{at}].mask")


def numbered(name: str, shown: Sequence[Reference]) -> dict[str, Reference]:
    """Return assets by what a caller calls them: `name[0]` and so on."""
    return {f"{name}[{at}]": each for at, each in enumerate(shown)}


def _of_collection(
    asset: Asset | None, shown: Reference, collection: str, place: str
) -> Asset:
    if asset is None:
        raise AssetNotFoundError(
            f"No asset has the id {shown.asset_id}.", field=place, value=shown.asset_id
        )
    if asset.collection != collection:
        raise InvalidInputError(
            f"Asset {asset.id} is of collection {asset.collection}, not of"
            f" {collection}; only assets of one collection are compared.",
            field=place,
            limit=collection,
            value=asset.collection,
        )
    return asset


def _check_attributes(attributes: Metadata) -> None:
    try:
        check_metadata(attributes)
    except InvalidInputError as error:
        raise error.at("attributes") from error


def _absent(character_id: str) -> CharacterNotFoundError:
    return CharacterNotFoundError(
        f"No character has the id {character_id}.", value=character_id
    )
