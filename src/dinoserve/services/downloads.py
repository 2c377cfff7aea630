"""Downloads: where callers get an original without this server in between."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from dinoserve.domain.assets import Asset
from dinoserve.ports import ObjectStore

PROXY: Final = "proxy"
REDIRECT: Final = "redirect"
_LINK_S = 3600
_PUBLIC_S = 3600


class Elsewhere(NamedTuple):
    """Where an original is, and how many seconds a caller may believe that."""

    url: str
    seconds: int


@dataclass(frozen=True, slots=True)
class DownloadService:
    """Tells whether an original is to be had from somebody else.

    Attributes:
        objects: the originals.
        content: `proxy`: never; `redirect`: where the store has URLs of its own; else
            the URL, with a slash at its end, that the originals' keys are below.
    """

    objects: ObjectStore
    content: str

    async def find(self, asset: Asset) -> Elsewhere | None:
        """Return where the original is; None: only this server has it."""
        if self.content == PROXY:
            return None
        if self.content == REDIRECT:
            url = await self.objects.sign("GET", asset.sha256, _LINK_S)
            # Who starts at the last moment has the same time again to finish.
            return Elsewhere(url, _LINK_S // 2) if url else None
        first, second = asset.sha256[:2], asset.sha256[2:4]
        url = f"{self.content}{first}/{second}/{asset.sha256}"
        return Elsewhere(url, _PUBLIC_S)
