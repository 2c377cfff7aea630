"""Relations over HTTP: state them, erase them, walk along them."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from dinoserve.domain.graph_walks import WalkCursor
from dinoserve.errors import NodeNotFoundError, StorageFullError, UnavailableError
from dinoserve.web.bodies import json_body, read_json
from dinoserve.web.deps import ServicesDep, unless_caller_leaves
from dinoserve.web.graph_requests import (
    MAX_NODE,
    ErasedBody,
    NeighboursQuery,
    PathQuery,
    RelationsBody,
    check_node,
)
from dinoserve.web.graph_views import NeighboursAnswer, PathAnswer, StoredAnswer
from dinoserve.web.problems import responses

router = APIRouter(prefix="/v1/graph", tags=["graph"])


@router.post(
    "/relations",
    openapi_extra=json_body(RelationsBody),
    responses=responses(NodeNotFoundError, UnavailableError, StorageFullError),
)
async def put_relations(request: Request, services: ServicesDep) -> StoredAnswer:
    """Store relations: all of them, or none; each replaces the one of the same key.

    The key is source, target and kind, so the same request twice changes nothing but
    the time.
    """
    body = await read_json(request, RelationsBody)
    stated = [each.to_domain() for each in body.relations]
    return StoredAnswer(stored=await services.graph.put(stated))


@router.delete(
    "/relations",
    status_code=204,
    response_class=Response,
    openapi_extra=json_body(ErasedBody),
    responses=responses(UnavailableError, StorageFullError),
)
async def erase_relations(request: Request, services: ServicesDep) -> None:
    """Erase relations by their keys, or all of a node; absent ones are no error."""
    body = await read_json(request, ErasedBody)
    await services.graph.remove(body.keys(), body.nodes())


@router.get(
    "/nodes/{node:path}/neighbors",
    response_model=NeighboursAnswer,
    responses=responses(NodeNotFoundError, UnavailableError),
)
async def list_neighbors(
    node: Annotated[str, Path(min_length=1, max_length=MAX_NODE)],
    asked: Annotated[NeighboursQuery, Query()],
    request: Request,
    services: ServicesDep,
) -> Response:
    """List nodes near one, nearest and strongest first, with relations among them."""
    check_node(node, "node")
    after = WalkCursor.decode(asked.cursor) if asked.cursor else None
    work = services.graph.neighbours(
        node, asked.reach(), asked.depth, asked.limit, after
    )
    portion = await unless_caller_leaves(request, work)
    # A thousand nodes take longer than the event loop may be away.
    answer = await asyncio.to_thread(
        lambda: NeighboursAnswer.of(node, portion).model_dump_json()
    )
    return Response(answer, media_type="application/json")


@router.get("/path", responses=responses(NodeNotFoundError, UnavailableError))
async def find_path(
    asked: Annotated[PathQuery, Query()], request: Request, services: ServicesDep
) -> PathAnswer:
    """Find the best path between two nodes; that there is none is an answer, too."""
    ends = check_node(asked.source, "source"), check_node(asked.target, "target")
    work = services.graph.path(ends, asked.by, asked.reach(), asked.max_depth)
    return PathAnswer.of(await unless_caller_leaves(request, work))
