"""FastAPI documents the routes, Starlette serves them.

Every handler takes the request and gives a response, so nothing of FastAPI's injection would be
used; without it a request costs half as much.
"""

from collections.abc import Iterable

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Route, Router
from starlette.types import Lifespan


def install(
    app: FastAPI, routers: Iterable[APIRouter], lifespan: Lifespan[FastAPI]
) -> list[APIRoute]:
    """Serve the routes of these routers, in this order; give them for the OpenAPI document."""
    routes = [route for router in routers for route in router.routes]
    documented = [route for route in routes if isinstance(route, APIRoute)]
    served = [
        Route(route.path, route.endpoint, methods=list(route.methods or ())) for route in documented
    ]
    router = Router(served, redirect_slashes=False, lifespan=lifespan)
    app.router = router  # type: ignore[assignment]  # FastAPI declares its own, slower kind
    return documented
