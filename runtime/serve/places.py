"""Places: how many pictures are enhanced, how many wait, and how long. All of it on the event loop, but for the work itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from runtime.serve.limits import Limits

Made = TypeVar("Made")


class FullError(Exception):
    """Every place is taken."""


class LateError(Exception):
    """The work was not done in time."""


class GoneError(Exception):
    """Whoever asked for the work has left."""


class Places:
    """A place is held from before an upload is read until its answer is sent; so what is in memory is bounded."""

    def __init__(self, limits: Limits) -> None:
        self.seconds = limits.seconds
        self._free = limits.jobs + limits.waiting
        self._workers = asyncio.Semaphore(limits.jobs)
        self._pool = ThreadPoolExecutor(limits.jobs, "enhance")

    @contextmanager
    def place(self) -> Generator[Place]:
        """Hold a place within the block, and as long as work that began in it runs."""
        if not self._free:
            raise FullError
        self._free -= 1
        place = Place(self)
        try:
            yield place
        finally:
            place.leave()

    def close(self) -> None:
        """Wait for the work that has begun."""
        self._pool.shutdown()

    async def run(self, place: Place, work: Callable[[], Made]) -> Made:
        """Do the work on a thread, once one is free. Work that has begun cannot be stopped: it keeps its thread and place."""
        await self._workers.acquire()
        running = asyncio.get_running_loop().run_in_executor(self._pool, work)
        place.working = True
        running.add_done_callback(lambda done: self._finished(place, done))
        return await asyncio.shield(running)

    def _finished(self, place: Place, done: asyncio.Future[Any]) -> None:
        if not done.cancelled():
            done.exception()  # it was looked at: of work that nobody waits for, none is logged
        self._workers.release()
        place.working = False
        if place.left:
            self.free()

    def free(self) -> None:
        self._free += 1


class Place:
    """One place; see `Places.place`."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.working = False
        self.left = False

    def leave(self) -> None:
        self.left = True
        if not self.working:
            self._places.free()

    async def run(self, work: Callable[[], Made], gone: Coroutine[Any, Any, None]) -> Made:
        """Do the work and return its result; LateError or GoneError if time is up or `gone` ends before."""
        made = asyncio.ensure_future(self._places.run(self, work))
        left = asyncio.ensure_future(gone)
        try:
            done, _ = await asyncio.wait((made, left), timeout=self._places.seconds, return_when=asyncio.FIRST_COMPLETED)
            if made in done:
                return made.result()
            raise GoneError if done else LateError
        finally:
            made.cancel()
            left.cancel()
