"""Looks after what may change while the API serves, each thing on its own.

A duty that hangs or fails stops no other, and is said in /health, in a metric and in the log.
"""

import asyncio
from collections.abc import Awaitable, Callable

from api import logs

Check = Callable[[], Awaitable[str | None]]
"""Returns what is wrong, or None."""


class Watch:
    """The duties by name, and what is wrong with each of them now."""

    def __init__(self, duties: dict[str, Check], every: float) -> None:
        self._duties, self._every = duties, every
        self.problems: dict[str, str | None] = dict.fromkeys(duties)

    def failing(self) -> dict[str, str]:
        """Return what is wrong by duty; empty if all is well."""
        return {name: problem for name, problem in self.problems.items() if problem}

    async def once(self) -> None:
        """Do every duty once."""
        await asyncio.gather(*(self._do(name) for name in self._duties))

    async def run(self) -> None:
        """Repeat every duty until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for name in self._duties:
                tasks.create_task(self._repeat(name))

    async def _repeat(self, name: str) -> None:
        while True:
            await asyncio.sleep(self._every)
            await self._do(name)

    async def _do(self, name: str) -> None:
        try:
            problem = await self._duties[name]()
        except TimeoutError:
            problem = "the disk or the network volume does not answer"
        except Exception as error:  # no error may stop the watch
            problem = f"it cannot be checked ({type(error).__name__})"
        if problem != self.problems[name]:
            logs.line("duty", duty=name, problem=problem)
        self.problems[name] = problem
