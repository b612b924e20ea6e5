"""Structured log: one JSON object per line on standard output, without keys or bodies."""

import io
import logging
import sys
import time
from functools import lru_cache
from typing import Any

import orjson


def write_utf8() -> None:
    """Make standard output UTF-8 in every locale, because JSON is."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")


def line(event: str, **members: object) -> None:
    """Write one event as a line and flush it."""
    now = time.time()
    content = _encode({"time": _moment(int(now), int(now % 1 * 1000)), "event": event, **members})
    sys.stdout.write(content + "\n")
    sys.stdout.flush()


def _moment(second: int, thousandths: int) -> str:
    return f"{_second(second)}.{thousandths:03}Z"


@lru_cache(maxsize=8)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _encode(content: dict[str, Any]) -> str:
    return orjson.dumps(content, default=str).decode()


class JsonFormatter(logging.Formatter):
    """Formats the server's own messages and tracebacks as JSON too."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message as one JSON object."""
        moment = _moment(int(record.created), int(record.msecs))
        content = {"time": moment, "event": "log", "level": record.levelname.lower()}
        content |= {"logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            content["traceback"] = self.formatException(record.exc_info)
        return _encode(content)


def config(level: str) -> dict[str, Any]:
    """Return the configuration for logging.config.dictConfig that uvicorn gets."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "handlers": {
            "out": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "stream": "ext://sys.stdout",
            }
        },
        "root": {"handlers": ["out"], "level": level.upper()},
    }
