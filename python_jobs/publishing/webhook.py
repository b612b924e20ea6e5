"""Tell another system that a version was published: a signed POST, as Standard Webhooks describe.

It names no person: who is on the list now, the receiver asks the API or reads in the files.
"""

import base64
import hashlib
import hmac
import http.client
import json
import queue
import ssl
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from python_jobs.publishing import activation
from python_jobs.settings import SECRET_PREFIX, Settings

TOTAL_SECONDS = 30.0
"""A notice is given up after this long, all attempts and pauses together."""
ATTEMPT_SECONDS = 10.0
FIRST_PAUSE = 1.0
"""Seconds before the second attempt; each later pause is twice as long."""
TRIED_AGAIN = {408, 425, 429}
"""Statuses below 500 after which a later attempt may succeed. A redirect is not followed."""


def send(settings: Settings, folder: Path, manifest: dict[str, Any], *, now: datetime) -> str:
    """Tell the receiver of the version in `folder`; return what came of it in a few words.

    A URL without a secret is not called, since a receiver could not know who calls.
    """
    url, secret = settings.webhook_url, settings.webhook_secret
    if url is None or secret is None:
        return "not told: CHURNHOUSE_WEBHOOK_URL needs CHURNHOUSE_WEBHOOK_SECRET"
    body = json.dumps(notice(manifest, activation.counts(folder))).encode()
    return deliver(url, secret, manifest["version"], body, now=now)


def notice(manifest: dict[str, Any], changes: dict[str, int]) -> dict[str, Any]:
    """Return the content of the message. `changes`: users of the list by kind of change."""
    told = ("version", "published_at", "as_of_date", "model_version")
    files = {
        name: {key: facts[key] for key in ("sha256", "bytes")}
        for name, facts in manifest["files"].items()
    }
    return {
        "type": "churnhouse.published",
        **{name: manifest[name] for name in told},
        "changes": changes,
        "files": files,
    }


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the header webhook-signature: HMAC-SHA256 of id, time and body, with dots between."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def deliver(
    url: str,
    secret: str,
    message_id: str,
    body: bytes,
    *,
    now: datetime,
    seconds: float = TOTAL_SECONDS,
    first_pause: float = FIRST_PAUSE,
) -> str:
    """Post the body until it is taken, at most `seconds` long; return what came of it.

    The id is the same in each attempt, so that a receiver can drop repeats. Time stamps count from
    `now`.
    """
    host, started, pause, attempts = urlsplit(url).hostname, time.monotonic(), first_pause, 0
    while True:
        attempts += 1
        passed = time.monotonic() - started
        timestamp = int(now.timestamp() + passed)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "churnhouse",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(secret, message_id, timestamp, body),
        }
        found = _attempt(url, headers, body, min(ATTEMPT_SECONDS, seconds - passed))
        tries = f"{attempts} attempt{'s' if attempts > 1 else ''}"
        if isinstance(found, int) and 200 <= found < 300:
            return f"{host} was told, {tries}"
        is_final = isinstance(found, int) and found < 500 and found not in TRIED_AGAIN
        if is_final or time.monotonic() - started + pause >= seconds:
            return f"{host} was not told: {found}, {tries}"
        time.sleep(pause)
        pause *= 2


def _attempt(url: str, headers: dict[str, str], body: bytes, seconds: float) -> int | str:
    """Return the answer's status, or why there is none after `seconds`.

    A thread does the work: neither a name server nor a byte now and then can make it last longer.
    """
    answers: queue.SimpleQueue[int | str] = queue.SimpleQueue()
    late = f"no answer in {seconds:.0f} s"

    def post() -> None:
        try:
            answers.put(_post(url, headers, body, seconds))
        except TimeoutError:
            answers.put(late)
        except Exception as error:  # whatever it is, the publication stands
            answers.put(getattr(error, "strerror", None) or type(error).__name__)

    threading.Thread(target=post, daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except queue.Empty:
        return late


def _post(url: str, headers: dict[str, str], body: bytes, seconds: float) -> int:
    parts = urlsplit(url)
    host, target = parts.hostname or "", parts.path or "/"
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(host, parts.port, timeout=seconds, context=context)
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=seconds)
    try:
        query = f"?{parts.query}" if parts.query else ""
        connection.request("POST", target + query, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()
