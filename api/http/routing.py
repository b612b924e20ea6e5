"""FastAPI documents the routes, Starlette serves them.

Every handler takes the request and gives a response, so nothing of FastAPI's injection would be
used; without it a request costs half as much.
"""

from collections.abc import Callable, Iterable

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Route, Router


def install(app: FastAPI, routers: Iterable[APIRouter], lifespan: Callable) -> list[APIRoute]:
    """Serve the routes of these routers, in this order; give them for the OpenAPI document."""
    documented = [route for router in routers for route in router.routes]
    served = [
        Route(route.path, route.endpoint, methods=list(route.methods)) for route in documented
    ]
    app.router = Router(served, redirect_slashes=False, lifespan=lifespan)
    return documented
