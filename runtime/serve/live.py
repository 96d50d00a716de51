"""The live view of a server: what one camera or stream shows, before and after, to all who watch.

The pictures are sent as MJPEG, which an `<img>` of a page plays, as do VLC and FFmpeg. While nobody watches, frames are read
and left alone.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Callable

import cv2
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import StreamingResponse

from runtime.calm.film import Film
from runtime.enhancer import Enhancer
from runtime.errors import GpuLostError, InputError, RetinexError
from runtime.images import Images
from runtime.media.live import address
from runtime.media.live.source import LiveSource

#: How many pictures are sent at a time; one who watches the page takes two, before and after.
MOST = 32
#: Of JPEG, of 100.
_QUALITY = 85
#: Seconds between two looks at whether the server ends.
_LOOK = 0.5

_log = logging.getLogger("retinexrt.serve")


class Live:
    """One source, read by a thread from `start` to `close`. Raises InputError where it cannot be opened."""

    def __init__(self, source: str, enhancer: Enhancer) -> None:
        if not address.is_live(source):
            raise InputError(f"--live takes a camera or a stream, as camera:0 or rtsp://HOST/PATH, found {source!r}")
        found = address.find(source)
        self._source = LiveSource(found, tell=lambda text: _log.warning("%s: %s", found.name, text))
        self._film = Film(enhancer)
        self._watching = 0
        self._pair: tuple[bytes, bytes] | None = None
        self._over = False
        self._next = asyncio.Event()
        #: Whether the server is about to end, and what to do when the GPU is lost.
        self.ending: Callable[[], bool] = lambda: False
        self.on_gpu_lost: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Begin, in the loop that answers."""
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, args=(loop,), name="live", daemon=True).start()

    def close(self) -> None:
        """End it and free the source."""
        self._source.close()

    async def before(self, _: Request) -> StreamingResponse:
        """GET /live/before.mjpg."""
        return self._watched(0)

    async def after(self, _: Request) -> StreamingResponse:
        """GET /live/after.mjpg."""
        return self._watched(1)

    def _watched(self, which: int) -> StreamingResponse:
        if self._over:
            raise HTTPException(503, "the source has ended")
        if self._watching >= MOST:
            raise HTTPException(429, "too many watch already; try again later", {"retry-after": "10"})
        return StreamingResponse(self._frames(which), media_type="multipart/x-mixed-replace; boundary=frame")

    async def _frames(self, which: int) -> AsyncGenerator[bytes]:
        """The newest frame whenever there is one: whoever takes his time gets fewer."""
        self._watching += 1
        try:
            while not self._over and not self.ending():
                try:
                    await asyncio.wait_for(self._next.wait(), _LOOK)
                except TimeoutError:
                    continue
                if self._pair is not None:
                    yield b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + self._pair[which] + b"\r\n"
        finally:
            self._watching -= 1

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """On a thread of its own."""
        try:
            while (frame := self._source.read()) is not None:
                if self._watching:
                    pair = _jpeg(frame.image), _jpeg(self._film(frame.image))
                    loop.call_soon_threadsafe(self._show, pair)
        except RetinexError as error:
            _log.error("the live view ends: %s", error)
            if isinstance(error, GpuLostError):
                self.on_gpu_lost()
        finally:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._show, None)

    def _show(self, pair: tuple[bytes, bytes] | None) -> None:
        """In the loop; None: there is no more."""
        self._pair, self._over = pair, pair is None
        self._next.set()
        self._next = asyncio.Event()


def _jpeg(image: Images) -> bytes:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert done
    return data.tobytes()
