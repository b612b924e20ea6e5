"""The app the API is compared with: the same framework, one constant answer."""

import os

from fastapi import FastAPI
from starlette.responses import Response

app = FastAPI(openapi_url=None)
LOOKUP = b'{"a":"%s"}' % (b"x" * (int(os.environ["BARE_LOOKUP_BYTES"]) - 8))
PREDICT = b'{"a":"%s"}' % (b"x" * (int(os.environ["BARE_PREDICT_BYTES"]) - 8))


@app.get("/v1/predictions/{user_id}")
async def lookup(user_id: str) -> Response:
    return Response(LOOKUP, media_type="application/json")


@app.post("/predict")
async def predict() -> Response:
    return Response(PREDICT, media_type="application/json")
