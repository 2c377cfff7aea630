"""The graph as a whole over HTTP: its parts, and pieces of it for other tools."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from dinoserve.domain.graph_walks import Bounds
from dinoserve.errors import NodeNotFoundError, OverloadedError, UnavailableError
from dinoserve.web.deps import ServicesDep, unless_caller_leaves
from dinoserve.web.graph_formats import MEDIA_TYPES, GraphFormat, written
from dinoserve.web.graph_requests import PartsQuery, SubgraphQuery, check_node
from dinoserve.web.graph_views import CommunitiesAnswer, ComponentsAnswer
from dinoserve.web.problems import responses

router = APIRouter(prefix="/v1/graph", tags=["graph"])


class DrawnQuery(SubgraphQuery):
    """Around which nodes, how much, and in which format."""

    format: GraphFormat = Field(
        default="json", description="`json`: node-link, as networkx reads it."
    )


@router.get(
    "/components",
    response_model=ComponentsAnswer,
    responses=responses(UnavailableError),
)
async def list_components(
    asked: Annotated[PartsQuery, Query()], request: Request, services: ServicesDep
) -> Response:
    """Tell which nodes are connected by relations, whatever their directions."""
    work = services.graph.components(asked.scope(), asked.shown())
    found = await unless_caller_leaves(request, work)
    answer = await asyncio.to_thread(
        lambda: ComponentsAnswer.of(found).model_dump_json()
    )
    return Response(answer, media_type="application/json")


@router.get(
    "/communities",
    response_model=CommunitiesAnswer,
    responses=responses(OverloadedError, UnavailableError),
)
async def list_communities(
    asked: Annotated[PartsQuery, Query()], request: Request, services: ServicesDep
) -> Response:
    """Tell which nodes are related more among each other than to others (Leiden)."""
    work = services.graph.communities(asked.scope(), asked.shown())
    found = await unless_caller_leaves(request, work)
    answer = await asyncio.to_thread(
        lambda: CommunitiesAnswer.of(found).model_dump_json()
    )
    return Response(answer, media_type="application/json")


_DRAWN = {
    200: {
        "description": "Nodes and every relation among them.",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "application/graphml+xml": {"schema": {"type": "string"}},
            "text/vnd.graphviz": {"schema": {"type": "string"}},
        },
    }
}


@router.get(
    "/subgraph",
    response_class=Response,
    responses=_DRAWN | responses(NodeNotFoundError, UnavailableError),
)
async def get_subgraph(
    asked: Annotated[DrawnQuery, Query()], request: Request, services: ServicesDep
) -> Response:
    """Give what is around some nodes to other tools, in one of three formats."""
    nodes = [check_node(node, f"node[{at}]") for at, node in enumerate(asked.node)]
    bounds = Bounds(asked.depth, max(asked.limit, len(set(nodes))))
    work = services.graph.subgraph(nodes, asked.reach(), bounds)
    portion = await unless_caller_leaves(request, work)
    text = await asyncio.to_thread(written, portion, asked.format)
    return Response(text, media_type=MEDIA_TYPES[asked.format])
