"""Characters over HTTP: keep them, check assets against them."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from dinoserve.domain.characters import CHARACTER_ID_PATTERN, MAX_PAGE
from dinoserve.domain.paging import Cursor
from dinoserve.errors import (
    AssetNotFoundError,
    CharacterNotFoundError,
    ImageDamagedError,
    ImageTooLargeError,
    ImageUnsupportedError,
    NoReferencesError,
    NotEmbeddedError,
    OverloadedError,
    RecipeMismatchError,
    StorageFullError,
    UnavailableError,
)
from dinoserve.ports import CharacterQuery, CheckQuery
from dinoserve.web.bodies import json_body, read_json
from dinoserve.web.character_requests import CharacterBody, CharacterPatch, CheckBody
from dinoserve.web.character_views import (
    CharactersPage,
    CharacterView,
    CheckAnswer,
    CheckedView,
    ChecksPage,
    KeptCheckView,
)
from dinoserve.web.deps import ServicesDep, unless_caller_leaves
from dinoserve.web.problems import responses
from dinoserve.web.schemas import Body, CollectionText

router = APIRouter(prefix="/v1/characters", tags=["characters"])

# A mask is decoded as any image is.
_MASK_FAULTS = (ImageDamagedError, ImageTooLargeError, ImageUnsupportedError)
CharacterIdPath = Annotated[str, Path(pattern=CHARACTER_ID_PATTERN)]


class CharactersQuery(Body):
    """Which characters to list."""

    collection: CollectionText | None = None
    cursor: str | None = Field(default=None, max_length=200)
    limit: int = Field(default=50, ge=1, le=MAX_PAGE)

    def to_domain(self) -> CharacterQuery:
        """Return the query, its cursor read."""
        after = Cursor.decode(self.cursor) if self.cursor else None
        return CharacterQuery(self.collection, after, self.limit)


class ChecksQuery(Body):
    """Which checks to list."""

    cursor: str | None = Field(default=None, max_length=200)
    limit: int = Field(default=50, ge=1, le=MAX_PAGE)

    def to_domain(self, character_id: str, recipe: str) -> CheckQuery:
        """Return the query, its cursor read."""
        after = Cursor.decode(self.cursor) if self.cursor else None
        return CheckQuery(character_id, recipe, after, self.limit)


@router.post(
    "",
    status_code=201,
    openapi_extra=json_body(CharacterBody),
    responses=responses(
        *_MASK_FAULTS, AssetNotFoundError, UnavailableError, StorageFullError
    ),
)
async def create_character(
    request: Request, response: Response, services: ServicesDep
) -> CharacterView:
    """Keep a character: a name, and assets that show it."""
    body = await read_json(request, CharacterBody)
    # Base64 of masks takes longer than the event loop may be away.
    new = await asyncio.to_thread(body.to_domain)
    character = await services.characters.create(new)
    response.headers["location"] = f"{router.prefix}/{character.id}"
    return CharacterView.of(character)


@router.get("", responses=responses(UnavailableError))
async def list_characters(
    asked: Annotated[CharactersQuery, Query()], services: ServicesDep
) -> CharactersPage:
    """List characters, newest first."""
    page = await services.characters.find(asked.to_domain())
    return CharactersPage(
        characters=[CharacterView.of(each) for each in page.characters],
        next_cursor=page.next.encode() if page.next else None,
    )


@router.get(
    "/{character_id}", responses=responses(CharacterNotFoundError, UnavailableError)
)
async def get_character(
    character_id: CharacterIdPath, services: ServicesDep
) -> CharacterView:
    """Show one character."""
    return CharacterView.of(await services.characters.get(character_id))


@router.patch(
    "/{character_id}",
    openapi_extra=json_body(CharacterPatch),
    responses=responses(
        *_MASK_FAULTS,
        CharacterNotFoundError,
        AssetNotFoundError,
        UnavailableError,
        StorageFullError,
    ),
)
async def change_character(
    character_id: CharacterIdPath, request: Request, services: ServicesDep
) -> CharacterView:
    """Replace name, references or attributes; checks stay as they were found."""
    body = await read_json(request, CharacterPatch)
    changes = await asyncio.to_thread(body.to_domain)
    return CharacterView.of(await services.characters.change(character_id, changes))


@router.delete(
    "/{character_id}",
    status_code=204,
    response_class=Response,
    responses=responses(CharacterNotFoundError, UnavailableError, StorageFullError),
)
async def erase_character(character_id: CharacterIdPath, services: ServicesDep) -> None:
    """Erase the character with what its checks found; its assets stay."""
    await services.characters.remove(character_id)


@router.post(
    "/{character_id}/check",
    openapi_extra=json_body(CheckBody),
    responses=responses(
        *_MASK_FAULTS,
        CharacterNotFoundError,
        AssetNotFoundError,
        NoReferencesError,
        NotEmbeddedError,
        RecipeMismatchError,
        OverloadedError,
        UnavailableError,
        StorageFullError,
    ),
)
async def check_assets(
    character_id: CharacterIdPath, request: Request, services: ServicesDep
) -> CheckAnswer:
    """Tell how alike the character looks in assets, part by part; keep what was found.

    It is likeness of appearance, not identity of a person, and no verdict.
    """
    body = await read_json(request, CheckBody)
    asked = await asyncio.to_thread(body.to_domain, character_id)
    work = services.character_checks.check(asked)
    found = await unless_caller_leaves(request, work)
    views = await asyncio.to_thread(lambda: [CheckedView.of(each) for each in found])
    return CheckAnswer(
        character=character_id,
        recipe=services.embeddings.recipe.id,
        drifted_below=asked.drifted_below,
        assets=views,
    )


@router.get(
    "/{character_id}/checks",
    responses=responses(CharacterNotFoundError, UnavailableError),
)
async def list_checks(
    character_id: CharacterIdPath,
    asked: Annotated[ChecksQuery, Query()],
    services: ServicesDep,
) -> ChecksPage:
    """List what the newest check of each asset found under the loaded recipe."""
    query = asked.to_domain(character_id, services.embeddings.recipe.id)
    page = await services.characters.checks(query)
    return ChecksPage(
        checks=[KeptCheckView.of(each) for each in page.checks],
        next_cursor=page.next.encode() if page.next else None,
    )
