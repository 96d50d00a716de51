"""`runtime.stream`: enhanced frames of a camera, a network stream, a pipe or a film, one by one, sync and async."""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any, Self

import cv2
import numpy as np

from runtime.images import Enhance, Images
from runtime.media.live import address
from runtime.media.live.source import LiveFrame, LiveSource

_log = logging.getLogger("retinexrt")


class Stream(Iterator[LiveFrame], AsyncIterator[LiveFrame]):
    """Frames as they come, enhanced. It ends with its source; `close` or leaving a `with` ends it before."""

    def __init__(
        self, source: str | os.PathLike[str], enhancer: Enhance, *, newest: bool | None, patience: float, **options: Any
    ) -> None:
        self._enhancer, self._options = enhancer, options
        self._bgr = getattr(enhancer, "color", "rgb") == "bgr"
        self._pending: asyncio.Future[LiveFrame | None] | None = None
        found = address.find(os.fspath(source))
        self._source = LiveSource(found, newest=newest, patience=patience, tell=lambda text: _warn(found.name, text))

    @property
    def dropped(self) -> int:
        """Frames that were left out because a newer one was there."""
        return self._source.dropped

    @property
    def reconnects(self) -> int:
        """How often the source was lost and connected anew."""
        return self._source.reconnects

    def close(self) -> None:
        """End it and free the source; whoever waits for a frame learns that there is none."""
        self._source.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> LiveFrame:
        frame = self._take()
        if frame is None:
            raise StopIteration
        return frame

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LiveFrame:
        # A wait that was given up leaves its frame to the next one.
        if self._pending is None:
            self._pending = asyncio.ensure_future(asyncio.to_thread(self._take))
        pending = self._pending
        try:
            frame = await asyncio.shield(pending)
        finally:
            if pending.done():
                self._pending = None
        if frame is None:
            raise StopAsyncIteration
        return frame

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.close)

    def __del__(self) -> None:
        if source := getattr(self, "_source", None):
            source.stop()

    def _take(self) -> LiveFrame | None:
        frame = self._source.read()
        if frame is None:
            self._source.close()
            return None
        return replace(frame, image=self._enhancer(self._ordered(frame.image), **self._options))

    def _ordered(self, image: Images) -> Images:
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), np.uint8) if self._bgr else image


def stream(
    source: str | os.PathLike[str],
    enhancer: Enhance,
    *,
    newest: bool | None = None,
    patience: float = math.inf,
    **options: Any,
) -> Stream:
    """Enhance what a camera or a stream shows, as it is shown.

        for frame in runtime.stream("rtsp://camera/1", enhancer):      # or async for
            show(frame.image, frame.seconds, frame.dropped)

    `source`: a URL (rtsp, rtmp, http, udp, tcp, srt), "camera:0" or "/dev/video0", a named pipe, or a film. Where frames
    come faster than they are enhanced, the newest is taken and the others are dropped and counted, so that what you get is
    never older than one call; `newest=False` drops none and lets the source wait, as is done for films and pipes. A lost
    source is connected anew, at growing intervals, until nothing has come for `patience` seconds: InputError then, and at
    once where the first attempt fails. `options` are those of a call of the enhancer, such as `strength`.
    """
    return Stream(source, enhancer, newest=newest, patience=patience, **options)


def _warn(name: str, text: str) -> None:
    _log.warning("%s: %s", name, text)
