"""The application: routes, middleware, errors and one lifespan."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from starlette.requests import ClientDisconnect

from dinoserve import __version__
from dinoserve.services import Services
from dinoserve.telemetry import Metrics
from dinoserve.web import problems
from dinoserve.web.body_room import BodyRoom
from dinoserve.web.character_requests import CharacterBody, CharacterPatch, CheckBody
from dinoserve.web.deps import CallerLeftError, WebOptions
from dinoserve.web.embedding_requests import EmbeddingsRequest
from dinoserve.web.feature_requests import (
    FeaturesRequest,
    PcaRequest,
    SimilarityMapRequest,
)
from dinoserve.web.graph_requests import ErasedBody, RelationsBody
from dinoserve.web.job_parameters import PARAMETERS
from dinoserve.web.middleware import OPEN_PATHS, Bounded, Guarded, Observed
from dinoserve.web.quality_requests import BlurMapRequest, QualityRequest
from dinoserve.web.routes import (
    assets,
    calibrations,
    character_groups,
    characters,
    dead_letters,
    duplicates,
    embeddings,
    features,
    graph,
    graph_ask,
    graph_view,
    graph_whole,
    groups,
    jobs,
    links,
    models,
    quality,
    search,
    system,
    uploads,
)
from dinoserve.web.urgency import URGENCY_HEADERS, Urgent

# What routes read for themselves, so that the framework does not know it.
_MODELS = (
    EmbeddingsRequest,
    FeaturesRequest,
    PcaRequest,
    SimilarityMapRequest,
    QualityRequest,
    BlurMapRequest,
    CharacterBody,
    CharacterPatch,
    CheckBody,
    calibrations.CalibrationBody,
    character_groups.CharacterGroupsBody,
    character_groups.ReviewBody,
    assets.AssetPatch,
    links.LinkBody,
    dead_letters.LettersBody,
    *PARAMETERS.values(),
    uploads.UploadBody,
    duplicates.DuplicatesBody,
    groups.GroupsBody,
    RelationsBody,
    ErasedBody,
    graph_ask.AskBody,
    search.SearchBody,
    search.SimilarityBody,
)
OpenServices = Callable[[], AbstractAsyncContextManager[Services]]


def create_app(
    open_services: OpenServices, options: WebOptions, metrics: Metrics
) -> FastAPI:
    """Return the app; the services are open from its start-up to its shutdown."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with open_services() as services:
            app.state.services = services
            yield

    app = FastAPI(
        title="dinoserve",
        version=__version__,
        summary="Self-hosted service for DINOv3 visual features.",
        lifespan=lifespan,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.options = options
    app.state.metrics = metrics
    # Routes are tried in this order: the busiest comes first.
    modules = (
        embeddings,
        assets,
        links,
        uploads,
        features,
        search,
        duplicates,
        graph,
        graph_ask,
        graph_view,
        graph_whole,
        groups,
        quality,
        characters,
        calibrations,
        character_groups,
        dead_letters,  # before jobs, whose ids it would be
        jobs,
        models,
        system,
    )
    for module in modules:
        app.include_router(module.router)
    app.state.routes = [route for each in modules for route in each.router.routes]
    problems.install(app)
    for farewell in (CallerLeftError, ClientDisconnect):
        app.add_exception_handler(farewell, _on_caller_left)
    app.add_middleware(Urgent)
    app.add_middleware(
        Bounded,
        room=BodyRoom(
            options.max_body_bytes, options.max_held_bytes, options.max_spooled_bytes
        ),
    )
    app.add_middleware(Guarded, key_digests=options.key_digests)
    app.add_middleware(Observed, metrics=metrics)
    app.openapi = lambda: _openapi(app)
    return app


async def _on_caller_left(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Return the document as the wire is: our 422 body, and the API key."""
    if app.openapi_schema:
        return app.openapi_schema
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        routes=app.routes,
    )
    components = document["components"]
    for model in (*_MODELS, problems.Problem, problems.OpenAIError):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        components["schemas"].update(schema.pop("$defs", {}))
        components["schemas"][model.__name__] = schema
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, item in document["paths"].items():
        if path not in OPEN_PATHS:
            for operation in item.values():
                operation["security"] = [{"key": []}, {}]
                operation.setdefault("parameters", []).extend(URGENCY_HEADERS)
    app.openapi_schema = document
    return document
