"""Links over HTTP: URLs that show one asset's content without an API key."""

import time
from datetime import UTC, datetime
from typing import Annotated, Literal
from urllib.parse import urljoin

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field

from dinoserve.domain.links import MAX_EXPIRES_S
from dinoserve.domain.renditions import (
    MAX_QUALITY,
    MAX_SIDE_PX,
    PARAMETERS,
    Format,
    RenditionFit,
    read_rendition,
)
from dinoserve.errors import AssetNotFoundError, UnavailableError
from dinoserve.web.bodies import json_body, read_json
from dinoserve.web.deps import ServicesDep
from dinoserve.web.problems import responses
from dinoserve.web.schemas import AssetIdText, Body

router = APIRouter(prefix="/v1/assets", tags=["assets"])

Side = Annotated[int, Field(ge=1, le=MAX_SIDE_PX)]


class LinkBody(Body):
    """What a link is to allow, and for how long."""

    expires_s: int = Field(
        default=3600, ge=1, le=MAX_EXPIRES_S, description="Seconds from now."
    )
    width: Side | None = Field(default=None, description="Pixels of a rendition.")
    height: Side | None = Field(default=None, description="Pixels of a rendition.")
    fit: RenditionFit | None = None
    format: Literal["auto"] | Format | None = None
    quality: int | None = Field(default=None, ge=1, le=MAX_QUALITY)

    def query(self) -> dict[str, str]:
        """Return the parameters of the content route; none: the original.

        Raises:
            InvalidInputError: there is no such rendition.
        """
        given = self.model_dump(include=set(PARAMETERS), exclude_none=True)
        asked = read_rendition({name: str(value) for name, value in given.items()})
        return asked.query() if asked else {}


class LinkView(BaseModel):
    """A link, and when it ends."""

    url: str = Field(description="For GET and HEAD; it needs no API key.")
    expires_at: datetime


@router.post(
    "/{asset_id}/links",
    openapi_extra=json_body(LinkBody),
    responses=responses(AssetNotFoundError, UnavailableError),
)
async def make_link(
    asset_id: Annotated[AssetIdText, Path()], request: Request, services: ServicesDep
) -> LinkView:
    """Make a URL that shows the content to whoever has it, until it expires.

    Renditions that are not offered to everybody may be signed too.
    """
    asked = await read_json(request, LinkBody)
    query = asked.query()
    asset = await services.assets.get(asset_id)
    expires_at = int(time.time()) + asked.expires_s
    path = f"{router.prefix}/{asset.id}/content"
    link = services.links.link("GET", path, query, expires_at)
    return LinkView(
        url=urljoin(str(request.base_url), link),
        expires_at=datetime.fromtimestamp(expires_at, UTC),
    )
