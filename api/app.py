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
from api.middleware.guard import SIGN_INS_AT_ONCE, SIGN_INS_PER_SECOND, Buckets, Guard
from api.middleware.observe import Observe
from api.middleware.sessions import Sessions
from api.routes import changes, contacts, history, monitoring, openapi, predict, predictions, probes
from api.settings import ApiSettings
from api.store.contacts import Contacts
from api.store.loader import Loader
from api.store.threads import Threads
from api.store.watch import Check, Watch

ENDED_SESSIONS = ".ended-sessions"
"""Below contacts/, the only folder that the API may write."""


def create_app(settings: ApiSettings) -> FastAPI:
    """Return the app over settings.published.

    It starts without a version and loads the first good one. Raises JobError if the key file is
    unusable.
    """
    metrics = Metrics()
    loader = Loader(settings, metrics)
    kept = Contacts(settings.contacts, settings.api_check_seconds)
    keys = Keys(settings.api_keys) if settings.api_keys else None
    sessions = (
        Sessions(
            keys,
            settings.api_session_secret,
            settings.api_session_hours,
            settings.contacts / ENDED_SESSIONS,
        )
        if keys
        else None
    )
    watch = Watch(_duties(settings, loader, kept, keys, sessions), settings.api_reload_seconds)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        await watch.once()
        watching = asyncio.create_task(watch.run())
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
    app.state.strangers = Buckets(SIGN_INS_PER_SECOND, SIGN_INS_AT_ONCE)
    app.state.signing_in = Buckets(SIGN_INS_PER_SECOND, SIGN_INS_AT_ONCE)
    app.state.bodies, app.state.one_batch = Budget(), asyncio.Lock()
    app.state.watch, app.state.threads = watch, Threads(most=20)
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


def _duties(
    settings: ApiSettings,
    loader: Loader,
    contacts: Contacts,
    keys: Keys | None,
    sessions: Sessions | None,
) -> dict[str, Check]:
    """Return what has to be looked after while the app serves."""
    seconds = settings.api_check_seconds
    key_threads, session_threads = Threads(), Threads()

    async def check_keys() -> str | None:
        if keys is None:
            return None
        try:
            return await key_threads.call(keys.refresh, seconds=seconds)
        except TimeoutError:  # a key may have been removed meanwhile
            return keys.revoke("its file does not answer; no key is accepted")

    async def check_contacts() -> None:
        await contacts.refresh()
        if loader.current:
            await contacts.follow(loader.current)

    async def check_versions() -> str | None:
        wrong = await loader.refresh()
        if loader.current:
            await contacts.follow(loader.current)
        return wrong

    async def check_sessions() -> None:
        if sessions is not None:
            await session_threads.call(sessions.refresh, seconds=seconds)

    return {
        "versions": check_versions,
        "keys": check_keys,
        "contacts": check_contacts,
        "sessions": check_sessions,
    }


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
