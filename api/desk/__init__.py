"""The desk: server-rendered pages for the retention team that need no internet access."""

from fastapi import APIRouter

from api.desk import pages, people, recording

router = APIRouter()
for part in (people, recording, pages):  # pages last: it answers every other address below /desk
    router.routes.extend(part.router.routes)

__all__ = ["router"]
