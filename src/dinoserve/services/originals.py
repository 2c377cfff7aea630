"""Originals that are lost for good, told apart from stores that are away."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from dinoserve.errors import NotFoundError, UnavailableError
from dinoserve.services.assets import AssetService


@asynccontextmanager
async def unless_lost(assets: AssetService, asset_id: str) -> AsyncGenerator[None]:
    """Let the block read the asset's original.

    Raises:
        NotFoundError: the block failed because the bytes are lost, which no further
            try brings back.
        AssetNotFoundError: the block failed, and the asset is gone.
        UnavailableError: the block failed otherwise; another try makes sense.
    """
    try:
        yield
    except UnavailableError:
        asset = await assets.get(asset_id)
        if await assets.objects.size(asset.sha256) == asset.size_bytes:
            raise
        raise NotFoundError(
            "The original of this asset is lost; upload the same bytes again."
        ) from None
