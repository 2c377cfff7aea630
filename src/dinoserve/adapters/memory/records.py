"""How assets stand in memory, and which of them a query asks for."""

import json
from dataclasses import replace

from dinoserve.domain.assets import Asset, matches
from dinoserve.domain.paging import AssetQuery
from dinoserve.errors import InvalidInputError


def copied(asset: Asset) -> Asset:
    """Return the asset as JSON would carry it, sharing nothing that can change.

    Raises:
        InvalidInputError: text that is not Unicode.
    """
    metadata = dict(asset.metadata)
    check_text(asset.tags, metadata, asset.subject, asset.filename)
    metadata = json.loads(json.dumps(metadata))
    return replace(asset, tags=tuple(asset.tags), metadata=metadata, embeddings=())


def check_text(*values: object) -> None:
    """Pass if all text among the values is Unicode.

    Raises:
        InvalidInputError: some is not.
    """
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            "Text must be Unicode without lone surrogates."
        ) from error


def is_meant(asset: Asset, query: AssetQuery) -> bool:
    """Tell whether the query asks for the asset."""
    return (
        query.collection in (None, asset.collection)
        and (query.created_from is None or asset.created_at >= query.created_from)
        and (query.created_until is None or asset.created_at < query.created_until)
        and (
            query.after is None
            or place(asset) < (query.after.created_at, query.after.id)
        )
        and matches(asset, query.where)
    )


def place(asset: Asset) -> tuple[object, str]:
    """Return what assets are listed by, in descending order."""
    return (asset.created_at, asset.id)
