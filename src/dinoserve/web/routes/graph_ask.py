"""Questions to the knowledge graph over HTTP."""

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, StringConstraints

from dinoserve.domain.knowledge import (
    MAX_QUESTION,
    MAX_TOP_K,
    Question,
    QuestionMode,
)
from dinoserve.errors import NotConfiguredError, UnavailableError
from dinoserve.web.bodies import json_body, read_json
from dinoserve.web.deps import ServicesDep, unless_caller_leaves
from dinoserve.web.problems import responses
from dinoserve.web.schemas import AssetView, Body

router = APIRouter(tags=["graph"])

_SOMETHING = r"[^\x00-\x20\x7f]"
QuestionText = Annotated[
    str,
    StringConstraints(min_length=1, max_length=MAX_QUESTION, pattern=_SOMETHING),
]


class AskBody(Body):
    """What to ask of the graph."""

    question: QuestionText = Field(description="In words, of any language.")
    mode: QuestionMode = Field(
        default="hybrid",
        description="How PathRAG searches for a context; it may know `hybrid` alone.",
    )
    top_k: int = Field(
        default=40,
        ge=1,
        le=MAX_TOP_K,
        description="Entities and relations that the search begins with.",
    )
    context: bool = Field(default=False, description="Show the context as well.")


class AskAnswer(BaseModel):
    """An answer and what it rests on."""

    answer: str
    assets: list[AssetView] = Field(
        description="That the context names and that are there, as it names them."
    )
    context: str | None = Field(
        default=None, description="What was found for the question, if asked for."
    )
    served_by: Literal["pathrag"]


@router.post(
    "/v1/graph/ask",
    openapi_extra=json_body(AskBody),
    responses=responses(NotConfiguredError, UnavailableError),
)
async def ask_graph(request: Request, services: ServicesDep) -> AskAnswer:
    """Answer a question from the relations, with the assets that it rests on."""
    body = await read_json(request, AskBody)
    question = Question(body.question, body.mode, body.top_k)
    found = await unless_caller_leaves(request, services.knowledge.ask(question))
    return AskAnswer(
        answer=found.answer,
        assets=[AssetView.of(asset) for asset in found.assets],
        context=found.context if body.context else None,
        served_by="pathrag",
    )
