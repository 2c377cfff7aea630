"""What a process without an API answers: does it live, is it ready, its figures."""

from collections.abc import Sequence

from fastapi import FastAPI

from dinoserve.services import Services
from dinoserve.telemetry import Metrics
from dinoserve.web import problems
from dinoserve.web.middleware import Guarded, Observed
from dinoserve.web.routes import system


def create_health_app(
    services: Services, key_digests: Sequence[bytes], metrics: Metrics
) -> FastAPI:
    """Return an app of `/livez`, `/readyz` and `/metrics`, as a server has them.

    Args:
        services: open already.
        key_digests: SHA-256 of every API key; with none, only this machine is served.
        metrics: what is shown.
    """
    app = FastAPI(title="dinoserve", openapi_url=None, redirect_slashes=False)
    app.state.services = services
    app.state.metrics = metrics
    app.state.routes = list(system.router.routes)
    app.include_router(system.router)
    problems.install(app)
    app.add_middleware(Guarded, key_digests=key_digests)
    app.add_middleware(Observed, metrics=metrics)
    return app
