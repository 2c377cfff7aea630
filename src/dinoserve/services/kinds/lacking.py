"""Why an asset whose vector is needed cannot be used."""

from dinoserve.domain.assets import Asset
from dinoserve.domain.jobs import Failure
from dinoserve.errors import AssetNotFoundError, NotEmbeddedError


def why_lacking(asset_id: str, asset: Asset | None, recipe: str) -> Failure:
    """Return the failure of an asset that is not there, or lacks the vector."""
    if asset is None:
        return Failure(asset_id, AssetNotFoundError.code, "There is no such asset.")
    return Failure(
        asset_id,
        NotEmbeddedError.code,
        f"It has no vector of recipe {recipe}; a job of kind `embed` makes it.",
    )
