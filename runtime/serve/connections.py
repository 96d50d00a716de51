"""Connections: those that never send the head of a request, or never take the answer, are ended."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from runtime.serve.limits import Limits


def make_server(app: ASGIApp, limits: Limits) -> uvicorn.Server:
    """The server of an application; `run` takes the sockets that listen."""
    config = uvicorn.Config(
        app,
        http=_protocol(limits),
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=10,
    )
    return uvicorn.Server(config)


def _protocol(limits: Limits) -> type[H11Protocol]:
    """uvicorn's protocol with these limits; it makes one for each connection."""

    class Patient(H11Protocol):
        def __init__(self, *words: Any, **named: Any) -> None:
            super().__init__(*words, **named)
            self._head: asyncio.TimerHandle | None = None
            self._answer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            super().connection_made(transport)
            self._head = self._end_in(limits.head_seconds)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            waits = self.cycle is None or self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]
            if not waits:
                self._head = _cancelled(self._head)
            elif self._head is None:
                self._head = self._end_in(limits.head_seconds)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._answer = _cancelled(self._answer) or self._end_in(limits.seconds)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._answer = _cancelled(self._answer)

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._head, self._answer = _cancelled(self._head), _cancelled(self._answer)

        def _end_in(self, seconds: float) -> asyncio.TimerHandle:
            return self.loop.call_later(seconds, self.transport.abort)

    return Patient


def _cancelled(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
