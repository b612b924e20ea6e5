"""The desk: server-rendered pages for the retention team that need no internet access."""

from api.desk.pages import router

__all__ = ["router"]
