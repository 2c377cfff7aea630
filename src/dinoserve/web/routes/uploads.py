"""Direct uploads over HTTP: ask where to, send the bytes there, complete."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urljoin

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from dinoserve.domain.uploads import UploadPlan
from dinoserve.errors import (
    ImageDamagedError,
    ImageTooLargeError,
    ImageUnsupportedError,
    OverloadedError,
    StorageFullError,
    UnavailableError,
    UploadIncompleteError,
    UploadMismatchError,
)
from dinoserve.services.spooling import SMALL_BYTES
from dinoserve.web.bodies import json_body, read_json
from dinoserve.web.body_room import body_of
from dinoserve.web.deps import ServicesDep, unless_caller_leaves
from dinoserve.web.problems import responses
from dinoserve.web.schemas import AssetView
from dinoserve.web.uploads import UploadFields, filename_of

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

UploadIdPath = Annotated[str, Path(max_length=8192, description="As it was given.")]
Sha256Text = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class UploadBody(UploadFields):
    """Which bytes are to come, and what is said of them."""

    sha256: Sha256Text = Field(description="Of the bytes, in lower case.")
    size_bytes: int = Field(ge=1, strict=True, description="How many bytes.")
    filename: str | None = Field(default=None, max_length=255)
    embed: bool = Field(default=True, description="`false` only stores.")

    def to_domain(self) -> UploadPlan:
        """Return the plan, tags once each and the filename without folders."""
        return UploadPlan(
            sha256=self.sha256,
            size_bytes=self.size_bytes,
            embed=self.embed,
            collection=self.collection,
            filename=filename_of(self.filename),
            tags=tuple(dict.fromkeys(self.tags)),
            metadata=self.metadata,
            subject=self.subject,
        )


class BegunView(BaseModel):
    """Where to send the bytes, and how to tell that they are there."""

    id: str
    url: str = Field(description="Where the bytes go; it needs no API key.")
    method: str
    headers: dict[str, str] = Field(description="To be sent with the bytes.")
    expires_at: datetime
    complete_url: str = Field(description="To be posted to afterwards.")


@router.post(
    "",
    status_code=201,
    openapi_extra=json_body(UploadBody),
    responses=responses(ImageTooLargeError, UnavailableError),
)
async def begin_upload(request: Request, services: ServicesDep) -> BegunView:
    """Agree on bytes that will come; the answer tells where to send them."""
    asked = await read_json(request, UploadBody)
    begun = await services.uploads.begin(asked.to_domain())
    place = f"{router.prefix}/{begun.id}"
    expires_at = begun.plan.expires_at
    own = services.links.link("PUT", f"{place}/content", {}, expires_at)
    return BegunView(
        id=begun.id,
        url=begun.url or urljoin(str(request.base_url), own),
        method="PUT",
        headers={},
        expires_at=datetime.fromtimestamp(expires_at, UTC),
        complete_url=urljoin(str(request.base_url), f"{place}/complete"),
    )


@router.put(
    "/{upload_id}/content",
    status_code=204,
    response_class=Response,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
    responses=responses(UploadMismatchError, UnavailableError, StorageFullError),
)
async def receive_upload(
    upload_id: UploadIdPath, request: Request, services: ServicesDep
) -> None:
    """Take the bytes, where the object store has no URLs of its own."""
    await services.uploads.receive(upload_id, _counted(request))


async def _counted(request: Request) -> AsyncGenerator[bytes]:
    """Yield the body, what goes to the disk counted as there."""
    body, size = body_of(request), 0
    async for chunk in request.stream():
        yield chunk
        size += len(chunk)
        if size > SMALL_BYTES:
            body.spool(len(chunk))


@router.post(
    "/{upload_id}/complete",
    status_code=201,
    responses={200: {"model": AssetView, "description": "It was already there."}}
    | responses(
        ImageDamagedError,
        ImageTooLargeError,
        ImageUnsupportedError,
        UploadIncompleteError,
        UploadMismatchError,
        OverloadedError,
        UnavailableError,
        StorageFullError,
    ),
)
async def complete_upload(
    upload_id: UploadIdPath, request: Request, response: Response, services: ServicesDep
) -> AssetView:
    """Read back what came, and keep it as an asset if it is what was agreed.

    The answer is that of `POST /v1/assets`; asked twice, it is the same asset.
    """
    work = services.uploads.complete(upload_id)
    asset, is_new = await unless_caller_leaves(request, work)
    response.status_code = 201 if is_new else 200
    response.headers["location"] = f"/v1/assets/{asset.id}"
    return AssetView.of(asset)
