"""Health and figures over HTTP."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from dinoserve import __version__
from dinoserve.services.health import PortHealth
from dinoserve.web.deps import MetricsDep, ServicesDep
from dinoserve.web.problems import responses

router = APIRouter(tags=["system"])


class Liveness(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"
    version: str = __version__


class PortView(BaseModel):
    """One port: does it answer, what is it or why not, how long did it take."""

    name: str
    ok: bool
    detail: str
    took_ms: float


class Readiness(BaseModel):
    """Whether the model computes; stores and cache are told of, but do not decide."""

    ready: bool
    ports: list[PortView]


@router.head("/livez", include_in_schema=False)
@router.get("/livez")
async def is_alive() -> Liveness:
    """Tell that the process is up."""
    return Liveness()


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz", responses={503: {"model": Readiness, "description": "Not ready."}}
)
async def is_ready(services: ServicesDep, response: Response) -> Readiness:
    """Tell whether the model is loaded and computes."""
    ports = await services.health.ports()
    ready = all(port.is_ok for port in ports if port.name == "embedder")
    response.status_code = 200 if ready else 503
    return Readiness(ready=ready, ports=[_view(port) for port in ports])


@router.get("/metrics", response_class=Response, responses=responses())
async def show_metrics(metrics: MetricsDep) -> Response:
    """Show every figure in Prometheus' text format."""
    return Response(metrics.render(), media_type="text/plain; version=0.0.4")


def _view(port: PortHealth) -> PortView:
    return PortView(
        name=port.name,
        ok=port.is_ok,
        detail=port.detail,
        took_ms=round(port.took_ms, 3),
    )
