"""Builds the app from its parts."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp

from api import desk, logs
from api.desk import reference
from api.http import errors, routing
from api.http.body import Budget
from api.keys import Keys
from api.metrics import Metrics
from api.middleware.guard import Guard
from api.middleware.observe import Observe
from api.middleware.sessions import Sessions
from api.routes import changes, contacts, history, monitoring, openapi, predict, predictions, probes
from api.settings import ApiSettings
from api.store.contacts import Contacts
from api.store.loader import Loader


def create_app(settings: ApiSettings) -> FastAPI:
    """Return the app over settings.published.

    It starts without a version and loads the first good one. Raises JobError if the key file is
    unusable.
    """
    metrics = Metrics()
    loader = Loader(settings, metrics)
    kept = Contacts(settings.contacts)
    keys = Keys(settings.api_keys) if settings.api_keys else None
    sessions = (
        Sessions(keys, settings.api_session_secret, settings.api_session_hours) if keys else None
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        await loader.refresh()
        with contextlib.suppress(OSError):  # the watch says it
            await kept.refresh()
        watching = asyncio.create_task(loader.watch(keys, kept))
        yield {"settings": settings, "metrics": metrics}  # for api.http.connection
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching

    app = FastAPI(
        title="Churnhouse",
        version=_version(),
        description="Published churn predictions, and scores made now with the model behind them.",
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        openapi_url=None,  # api.routes.openapi serves it, because it depends on the loaded version
    )
    app.state.settings, app.state.metrics = settings, metrics
    app.state.contacts = kept
    app.state.bodies, app.state.one_batch = Budget(), asyncio.Lock()
    app.state.loader, app.state.keys, app.state.sessions = loader, keys, sessions
    errors.install(app)
    # busiest first
    parts = (predict, predictions, history, changes, contacts, monitoring, probes, openapi)
    routers = [*(part.router for part in parts), reference.router, desk.router]
    openapi.install(app, routing.install(app, routers, lifespan))
    # All middleware, outermost last. Observe replaces FastAPI's own outer layers.
    inner = ExceptionMiddleware(app.router, handlers=app.exception_handlers)
    guarded = Guard(inner, settings=settings, keys=keys, sessions=sessions, metrics=metrics)
    asked = _cross_origin(guarded, settings.cors_origins) if settings.cors_origins else guarded
    app.middleware_stack = Observe(asked, metrics=metrics)
    return app


def from_environment() -> FastAPI:
    """Return the app of a worker process, with settings from CHURNHOUSE_* variables."""
    logs.write_utf8()
    app = create_app(ApiSettings())
    gc.collect()
    gc.freeze()  # imported modules stay: scanning them again would delay requests
    gc.set_threshold(10_000, 20, 20)
    return app


def _cross_origin(app: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Answer preflights of these origins before the guard, since browsers send them without key."""
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "X-API-Key", "Idempotency-Key", "If-None-Match"],
        expose_headers=["ETag", "Retry-After", "X-Request-Id"],
    )


def _version() -> str:
    try:
        return version("churnhouse")
    except PackageNotFoundError:
        return "0"
