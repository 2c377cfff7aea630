"""Traits in dictionaries."""

import json
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import Final

from dinoserve.domain.assets import Asset, Metadata
from dinoserve.errors import InvalidInputError
from dinoserve.ports import Trait

_BATCH: Final = 128


class MemoryTraits:
    """`ports.TraitStore` in dictionaries.

    Args:
        assets: records by id, as the document store has them.

    Raises:
        InvalidInputError: text that is not Unicode, in what is stored.
    """

    def __init__(self, assets: Mapping[str, Asset]) -> None:
        self._assets = assets
        self._values: dict[tuple[str, str], str] = {}

    async def put(self, traits: Sequence[Trait]) -> None:
        """Store each of an asset that is there, in place of what was."""
        values = {
            (trait.asset_id, trait.method): _text(trait.values)
            for trait in traits
            if trait.asset_id in self._assets
        }
        self._values |= values

    async def get(self, ids: Collection[str], method: str) -> Mapping[str, Metadata]:
        """Return the values by asset id, absent ones left out."""
        keys = ((asset_id, method) for asset_id in ids)
        return {
            key[0]: json.loads(self._values[key]) for key in keys if key in self._values
        }

    async def of(self, asset_id: str) -> Sequence[Trait]:
        """Return every trait of an asset, by method."""
        return [
            Trait(asset_id, method, json.loads(text))
            for (key, method), text in sorted(self._values.items())
            if key == asset_id
        ]

    async def scan(
        self, collection: str, method: str
    ) -> AsyncGenerator[Sequence[Trait]]:
        """Yield all of a collection by asset id, in batches of 128."""
        found = [
            Trait(asset_id, method, json.loads(text))
            for (asset_id, name), text in sorted(self._values.items())
            if name == method and self._assets[asset_id].collection == collection
        ]
        for start in range(0, len(found), _BATCH):
            yield found[start : start + _BATCH]

    def remove(self, asset_id: str) -> None:
        """Erase every trait of an asset."""
        for key in [key for key in self._values if key[0] == asset_id]:
            del self._values[key]


def _text(values: Metadata) -> str:
    text = json.dumps(dict(values), ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            "Text must be Unicode without lone surrogates."
        ) from error
    return text
