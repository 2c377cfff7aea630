"""Sending callers elsewhere for an original."""

from fastapi import Request, Response

from dinoserve.domain.assets import Asset
from dinoserve.services.downloads import DownloadService


async def redirect(
    request: Request, asset: Asset, downloads: DownloadService
) -> Response | None:
    """Return a redirect to the original; None: this server is to send it.

    HEAD is always answered here: what a store signs is good for GET alone.
    """
    place = None if request.method == "HEAD" else await downloads.find(asset)
    if place is None:
        return None
    headers = {
        "location": place.url,
        "cache-control": f"private, max-age={place.seconds}",
    }
    return Response(status_code=307, headers=headers)
