"""Puts the parts together."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI
from starlette.middleware.exceptions import ExceptionMiddleware

from api import desk, logs
from api.http import errors, routing
from api.keys import Keys
from api.metrics import Metrics
from api.middleware.guard import Guard
from api.middleware.observe import Observe
from api.middleware.sessions import Sessions
from api.routes import monitoring, openapi, predict, predictions, probes
from api.settings import ApiSettings
from api.store.loader import Loader


def create_app(settings: ApiSettings) -> FastAPI:
    """The app over settings.published. It starts without a version and takes up the first good one.

    Raises JobError where the file of keys is unusable.
    """
    metrics = Metrics()
    loader = Loader(settings, metrics)
    keys = Keys(settings.api_keys) if settings.api_keys else None
    sessions = (
        Sessions(keys, settings.api_session_secret, settings.api_session_hours) if keys else None
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await loader.refresh()
        watching = asyncio.create_task(loader.watch(keys))
        yield
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching

    app = FastAPI(
        title="Churnhouse",
        version=_version(),
        description="Published churn predictions, and scores made now with the model behind them.",
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
        openapi_url=None,  # api.routes.openapi serves it, as it follows the version in use
    )
    app.state.settings, app.state.metrics = settings, metrics
    app.state.loader, app.state.keys, app.state.sessions = loader, keys, sessions
    errors.install(app)
    parts = (predict, predictions, monitoring, probes, openapi, desk)  # the busiest first
    openapi.install(app, routing.install(app, [part.router for part in parts], lifespan))
    # The whole stack, outermost last: Observe does what FastAPI's own outer layers would do.
    inner = ExceptionMiddleware(app.router, handlers=app.exception_handlers)
    guarded = Guard(inner, settings=settings, keys=keys, sessions=sessions, metrics=metrics)
    app.middleware_stack = Observe(guarded, metrics=metrics)
    return app


def from_environment() -> FastAPI:
    """The app of a worker process, which learns its settings from CHURNHOUSE_*."""
    logs.write_utf8()
    app = create_app(ApiSettings())
    gc.collect()
    gc.freeze()  # what was imported stays: looking through it again would only make requests wait
    gc.set_threshold(10_000, 20, 20)
    return app


def _version() -> str:
    try:
        return version("churnhouse")
    except PackageNotFoundError:
        return "0"
