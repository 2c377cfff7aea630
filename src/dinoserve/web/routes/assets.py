"""Assets over HTTP: give, list, show, change, erase."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from dinoserve.domain.assets import ASSET_ID_PATTERN, Filter
from dinoserve.domain.paging import MAX_PAGE, AssetQuery, Cursor
from dinoserve.errors import (
    AssetNotFoundError,
    OverloadedError,
    RangeError,
    RenditionRefusedError,
    StorageFullError,
    UnavailableError,
)
from dinoserve.ports import AssetChanges
from dinoserve.services.upload import Upload, Uploaded
from dinoserve.web.bodies import json_body, read_json
from dinoserve.web.content import conditions, content_headers, portion, send
from dinoserve.web.deps import (
    ServicesDep,
    refuse_when_full,
    services_of,
    unless_caller_leaves,
)
from dinoserve.web.problems import IMAGE_FAULTS, responses
from dinoserve.web.redirects import redirect
from dinoserve.web.renditions import (
    RENDITION_PARAMETERS,
    asked_rendition,
    send_rendition,
)
from dinoserve.web.schemas import (
    AssetView,
    Body,
    CollectionText,
    SubjectText,
    TagList,
    Time,
)
from dinoserve.web.uploads import (
    UPLOAD_BODY,
    fetched_upload,
    opened_upload,
)

router = APIRouter(prefix="/v1/assets", tags=["assets"])

_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/*": {}}, "description": "The original, or a rendition."},
    206: {"content": {"image/*": {}}, "description": "The bytes asked for."},
    304: {"description": "The caller's copy is right."},
    307: {"description": "The original is to be had there."},
}

AssetIdPath = Annotated[str, Path(pattern=ASSET_ID_PATTERN)]


class AssetPage(BaseModel):
    """Some assets, newest first."""

    assets: list[AssetView]
    next_cursor: str | None


class ListQuery(Body):
    """Which assets to list."""

    collection: CollectionText | None = None
    tag: TagList = Field(default=[])
    created_from: Time | None = None
    created_until: Time | None = None
    cursor: str | None = Field(default=None, max_length=200)
    limit: int = Field(default=50, ge=1, le=MAX_PAGE)

    def to_domain(self) -> AssetQuery:
        """Return the query, its cursor read."""
        return AssetQuery(
            collection=self.collection,
            where=Filter(tags=frozenset(self.tag)),
            created_from=self.created_from,
            created_until=self.created_until,
            after=Cursor.decode(self.cursor) if self.cursor else None,
            limit=self.limit,
        )


class AssetPatch(Body):
    """What to change; a field left out stays as it is, `subject: null` clears it."""

    tags: TagList = Field(default=[])
    metadata: dict[str, object] = Field(default={})
    subject: SubjectText | None = None

    def to_domain(self) -> AssetChanges:
        """Return the changes that were really asked for."""
        asked = self.model_fields_set
        return AssetChanges(
            tags=tuple(dict.fromkeys(self.tags)) if "tags" in asked else None,
            metadata=self.metadata if "metadata" in asked else None,
            subject=self.subject,
            clear_subject="subject" in asked and self.subject is None,
        )


@router.post(
    "",
    status_code=201,
    openapi_extra=UPLOAD_BODY,
    responses={200: {"model": AssetView, "description": "It was already there."}}
    | responses(
        *IMAGE_FAULTS,
        OverloadedError,
        UnavailableError,
        StorageFullError,
    ),
)
async def upload_asset(
    request: Request, response: Response, *, embed: bool = True
) -> AssetView:
    """Keep an image; it is stored, embedded and searchable when the answer arrives.

    The same bytes in the same collection give the same asset (200 instead of 201)
    and change nothing that was said of it. `embed=false` only stores.
    """
    # Not declared as dependencies: resolving them costs every upload.
    await refuse_when_full(request)
    services = services_of(request)
    async with opened_upload(request) as given:

        async def keep() -> Uploaded:
            if isinstance(given, Upload):
                return await services.assets.upload(given, embed=embed)
            async with fetched_upload(given, services.assets) as upload:
                return await services.assets.upload(upload, embed=embed)

        asset, is_new = await unless_caller_leaves(request, keep())
    response.status_code = 201 if is_new else 200
    response.headers["location"] = f"/v1/assets/{asset.id}"
    return AssetView.of(asset)


@router.get("", responses=responses(UnavailableError))
async def list_assets(
    asked: Annotated[ListQuery, Query()], services: ServicesDep
) -> AssetPage:
    """List assets, newest first; `tag` may be repeated, all must be there."""
    page = await services.assets.find(asked.to_domain())
    return AssetPage(
        assets=[AssetView.of(asset) for asset in page.assets],
        next_cursor=page.next.encode() if page.next else None,
    )


@router.get("/{asset_id}", responses=responses(AssetNotFoundError, UnavailableError))
async def get_asset(asset_id: AssetIdPath, services: ServicesDep) -> AssetView:
    """Show one asset."""
    return AssetView.of(await services.assets.get(asset_id))


@router.patch(
    "/{asset_id}",
    openapi_extra=json_body(AssetPatch),
    responses=responses(AssetNotFoundError, UnavailableError, StorageFullError),
)
async def change_asset(
    asset_id: AssetIdPath, request: Request, services: ServicesDep
) -> AssetView:
    """Replace tags, metadata or subject."""
    patch = await read_json(request, AssetPatch)
    changed = await services.assets.update(asset_id, patch.to_domain())
    return AssetView.of(changed)


@router.delete(
    "/{asset_id}",
    status_code=204,
    response_class=Response,
    responses=responses(AssetNotFoundError, UnavailableError, StorageFullError),
)
async def erase_asset(asset_id: AssetIdPath, services: ServicesDep) -> None:
    """Erase the asset: its record, its vectors, and its bytes if no one else's."""
    await services.assets.remove(asset_id)


@router.head("/{asset_id}/content", include_in_schema=False)
@router.get(
    "/{asset_id}/content",
    response_class=Response,
    openapi_extra=RENDITION_PARAMETERS,
    responses=_CONTENT
    | responses(
        AssetNotFoundError,
        RangeError,
        RenditionRefusedError,
        OverloadedError,
        UnavailableError,
    ),
)
async def get_content(
    asset_id: AssetIdPath, request: Request, services: ServicesDep
) -> Response:
    """Send the original, whole or one range of it; it never changes.

    With a width or height, send the picture in that size instead.
    """
    asked = asked_rendition(request)
    asset = await services.assets.get(asset_id)
    if asked:
        return await send_rendition(request, services.renditions, asset, asked)
    etag = f'"{asset.sha256}"'
    wanted = portion(conditions(request), etag, asset.size_bytes)
    headers = content_headers(etag)
    if wanted.status == 304:  # noqa: PLR2004 - not modified
        return Response(status_code=304, headers=headers)
    if elsewhere := await redirect(request, asset, services.downloads):
        return elsewhere
    chunks = await services.assets.read(asset, wanted.start, wanted.stop)
    headers["content-type"] = asset.image.media_type
    return send(request, wanted, chunks, asset.size_bytes, headers)
