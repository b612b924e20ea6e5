"""The desk: pages for the retention team, rendered on the server, working without the internet."""

from api.desk.pages import router

__all__ = ["router"]
