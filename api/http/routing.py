"""FastAPI documents the routes; Starlette serves them.

Handlers take a request and return a response, so they do not need FastAPI's injection. Without it
a request costs half as much.
"""

from collections.abc import Iterable

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Route, Router
from starlette.types import Lifespan


def install(
    app: FastAPI, routers: Iterable[APIRouter], lifespan: Lifespan[FastAPI]
) -> list[APIRoute]:
    """Serve the routes of these routers in this order; return them for OpenAPI."""
    routes = [route for router in routers for route in router.routes]
    documented = [route for route in routes if isinstance(route, APIRoute)]
    served = [
        Route(route.path, route.endpoint, methods=list(route.methods or ())) for route in documented
    ]
    router = Router(served, redirect_slashes=False, lifespan=lifespan)
    app.router = router  # type: ignore[assignment]  # FastAPI declares its own, slower kind
    return documented
