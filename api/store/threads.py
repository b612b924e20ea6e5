"""Calls functions that may hang, such as reads of a network volume, without waiting for ever."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


class Threads:
    """Threads that are left behind if they hang; at most `most` at a time.

    The event loop's own pool is not used: a few calls that hang would fill it, and its threads
    are waited for when the process ends.
    """

    def __init__(self, most: int = 3) -> None:
        self._free = asyncio.Semaphore(most)

    @property
    def are_busy(self) -> bool:
        """Return whether no thread is free."""
        return self._free.locked()

    async def call(
        self, function: Callable[..., Result], *arguments: object, seconds: float
    ) -> Result:
        """Return what the function returns. Raises TimeoutError if that takes too long."""
        async with asyncio.timeout(seconds):
            await self._free.acquire()
            done: Future[Result] = Future()
            threading.Thread(target=_run, args=(done, function, arguments), daemon=True).start()
            awaited = asyncio.wrap_future(done)
            awaited.add_done_callback(self._ended)
            return await asyncio.shield(awaited)

    def _ended(self, future: "asyncio.Future[Any]") -> None:
        self._free.release()
        if not future.cancelled():
            future.exception()  # nobody may be waiting for it any more


def _run(done: "Future[Any]", function: Callable[..., Any], arguments: tuple[object, ...]) -> None:
    try:
        done.set_result(function(*arguments))
    except Exception as error:
        done.set_exception(error)
