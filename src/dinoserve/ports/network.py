"""What reaches out to other machines."""

from typing import Protocol


class ImageFetcher(Protocol):
    """Bytes behind a URL."""

    async def fetch(self, url: str) -> bytes:
        """Return the body, within size and time.

        Raises:
            FetchDisabledError, FetchRefusedError: not here, or not there.
            FetchFailedError: no answer of status 200 in time and size.
            OverloadedError: no slot became free in time.
        """
        ...
