"""Frames of a live source, the newest first, and the source connected anew when it is lost."""

from __future__ import annotations

import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

import cv2
import numpy as np
from av import Packet, VideoFrame

from runtime.errors import InputError
from runtime.images import Images
from runtime.media.films.reader import FilmReader, Properties
from runtime.media.live.address import Address

#: Seconds until an opening, and until a silence, counts as a failure.
OPENING, SILENCE = 10.0, 5.0
#: Seconds between attempts to connect: doubled from the first up to the last.
FIRST_PAUSE, LAST_PAUSE = 0.5, 10.0
#: Times that are further apart than this between two frames are another clock.
_JUMP = 10.0
#: Frames that wait where none is dropped.
_WAITING = 4
#: Of times, where frames come from more than one connection: of RTP and MPEG.
TIME_BASE = Fraction(1, 90000)


@dataclass(frozen=True)
class LiveFrame:
    """A frame of a live source."""

    #: RGB, or BGR for an enhancer that takes it.
    image: Images
    #: Since the first frame, by the clock of the source; a reconnection took as long as it did.
    seconds: float
    #: Frames that came since the one before, and were left out because a newer one was there.
    dropped: int
    #: `time.monotonic()` when it was decoded.
    arrived: float
    #: Packets of sound since the frame before, where they were asked for, by this clock.
    sound: Sequence[Packet[Any]] = ()


class LiveSource:
    """A source that is open. A thread decodes every frame as it comes; `read` takes the newest and converts it.

    `newest`: frames that nobody took in time are dropped (None: of cameras and streams, not of files and pipes); otherwise
    the source is made to wait. A lost source is connected anew, until nothing has come for `patience` seconds. `tell` is told
    in a sentence when it is lost and when it is back. `sound`: frames bring their sound.
    """

    def __init__(
        self,
        address: Address,
        *,
        newest: bool | None = None,
        patience: float = math.inf,
        tell: Callable[[str], object] | None = None,
        sound: bool = False,
    ) -> None:
        self.name = address.name
        self.dropped = self.reconnects = 0
        self._address, self._patience, self._tell = address, patience, tell or _silent
        self._stop = threading.Event()
        self._pipe = _Pipe(address.url, self._stop) if address.is_pipe else None
        self.brings_sound = sound
        self._film = self._connect()
        #: Whether it ends by itself, as a film does.
        self.ends = address.is_pipe or _has_end(self._film, address)
        self._newest = not self.ends if newest is None else newest
        self._waiting: deque[_Decoded] = deque()
        self._changed = threading.Condition()
        self._over = False
        self._failure: BaseException | None = None
        self._clock = _Clock()
        self._size: tuple[int, int] | None = None
        self._properties: Properties | None = None
        self._unread = 0
        self._thread = threading.Thread(target=self._run, name=f"live {self.name}", daemon=True)
        self._thread.start()

    @property
    def _kinds(self) -> tuple[str, ...]:
        return ("audio",) if self.brings_sound else ()

    @property
    def film(self) -> FilmReader:
        """The first connection."""
        return self._film

    @property
    def properties(self) -> Properties:
        """The facts that a writer needs; known once a frame was read, and the same after a reconnection."""
        assert self._properties is not None
        return self._properties

    def read(self) -> LiveFrame | None:
        """Wait for a frame; None: it ended, was stopped, or `patience` is over."""
        with self._changed:
            while not self._waiting and not self._over and not self._stop.is_set():
                self._changed.wait(0.2)  # not for ever: a signal's handler may stop it without the lock
            if self._stop.is_set() or not self._waiting:
                self._raise()
                return None
            taken = self._waiting.popleft()
            dropped, self._unread = self._unread, 0
            self._changed.notify_all()
        image = taken.film.rgb(taken.frame)
        for note in taken.film.notes:
            self._tell(note)
        taken.film.notes.clear()
        return LiveFrame(self._fitted(image, taken.film), taken.seconds, dropped, taken.arrived, taken.sound)

    def stop(self) -> None:
        """End it: `read` gives None from now on. May be called from anywhere, a signal's handler as well."""
        self._stop.set()

    def close(self) -> None:
        """End it, and free what it holds."""
        self.stop()
        with self._changed:
            self._changed.notify_all()
        self._thread.join(OPENING + SILENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self) -> FilmReader:
        address = self._address
        if self._pipe is not None:
            try:
                return FilmReader(self._pipe, self.name, kinds=self._kinds)
            except InputError:
                self._pipe.close()
                raise
        more: dict[str, Any] = {"format": address.format} if address.format else {}
        if address.is_network:
            more["timeout"] = (OPENING, SILENCE)
        film = FilmReader(address.url, self.name, address.options, kinds=self._kinds, **more)
        if address.is_network or address.format:
            film.stream.thread_type = "SLICE"  # a thread for each frame would hold frames back
        return film

    def _run(self) -> None:
        """The thread: decode, and connect anew, until it is over."""
        try:
            film: FilmReader | None = self._film
            while film is not None:
                for frame in _frames(film):
                    if not self._put(film, frame):
                        break
                film.close()
                if self.ends and film.broken and not self._stop.is_set():
                    raise InputError(f"{self.name} breaks off ({film.broken})")
                film = None if self.ends or self._stop.is_set() else self._reconnect(film.broken or "it ended")
        except BaseException as error:
            self._failure = error
        finally:
            if self._pipe is not None:
                self._pipe.close()
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _put(self, film: FilmReader, frame: VideoFrame) -> bool:
        """Lay a frame ready; False: nobody wants it any more."""
        arrived = time.monotonic()
        seconds = self._clock.seconds(frame, arrived, live=not self.ends)
        sound = [packet for packet in film.packets() if self._clock.move(packet)]
        decoded = _Decoded(film, frame, seconds, arrived, sound)
        with self._changed:
            while not self._newest and len(self._waiting) >= _WAITING and not self._stop.is_set():
                self._changed.wait(0.2)
            if self._newest and self._waiting:
                self.dropped += len(self._waiting)
                self._unread += len(self._waiting)
                decoded.sound[:0] = [packet for each in self._waiting for packet in each.sound]
                self._waiting.clear()
            self._waiting.append(decoded)
            self._changed.notify_all()
        return not self._stop.is_set()

    def _reconnect(self, why: str) -> FilmReader | None:
        """Connect anew; None: it was stopped, or has been away for too long."""
        pause, until = FIRST_PAUSE, time.monotonic() + self._patience
        self._tell(f"lost ({why}); connecting anew")
        while not self._stop.wait(min(pause, max(0.0, until - time.monotonic()))):
            try:
                film = self._connect()
            except InputError as error:
                if time.monotonic() >= until:
                    raise InputError(f"{self.name}: nothing came for {self._patience:g} s; {error}") from error
                pause = min(2 * pause, LAST_PAUSE)
                continue
            self.reconnects += 1
            self._clock.begin_anew()
            self._tell("connected again")
            return film
        return None

    def _fitted(self, image: Images, film: FilmReader) -> Images:
        """A frame in the first one's size."""
        if self._size is None:
            self._size, found = image.shape[:2], film.properties
            rate = found.rate if 1 <= found.rate <= 240 else Fraction(30)
            self._properties = Properties(TIME_BASE, rate, found.finest_rate, found.pixel_aspect, found.tags)
        if image.shape[:2] == self._size:
            return image
        return np.asarray(cv2.resize(image, self._size[::-1], interpolation=cv2.INTER_AREA), np.uint8)

    def _raise(self) -> None:
        if self._failure is not None and not self._stop.is_set():
            failure, self._failure = self._failure, None
            raise failure


@dataclass(frozen=True)
class _Decoded:
    film: FilmReader
    frame: VideoFrame
    seconds: float
    arrived: float
    sound: list[Packet[Any]]


class _Clock:
    """Seconds since the first frame, over connections whose clocks have nothing to do with one another."""

    def __init__(self) -> None:
        self._begun: float | None = None
        self._offset: float | None = None
        self._last = -1.0

    def begin_anew(self) -> None:
        """The next frame comes from another connection."""
        self._offset = None

    def seconds(self, frame: VideoFrame, arrived: float, *, live: bool) -> float:
        if self._begun is None:
            self._begun = arrived
        elapsed = arrived - self._begun
        own = float(frame.pts * frame.time_base) if frame.pts is not None and frame.time_base else elapsed
        jumped = self._offset is not None and live and abs(own + self._offset - self._last) > _JUMP and self._last >= 0
        if self._offset is None or jumped:
            self._offset = elapsed - own
        self._last = max(own + self._offset, self._last + 0.001 if self._last >= 0 else 0.0)
        return self._last

    def move(self, packet: Packet[Any]) -> bool:
        """Put a packet of the connection of the last frame on this clock; False: it lies before the first frame."""
        if packet.pts is None or self._offset is None:
            return False
        offset = round(self._offset / packet.time_base)
        packet.pts += offset
        packet.dts = packet.pts if packet.dts is None else packet.dts + offset
        return packet.dts >= 0


class _Pipe:
    """A named pipe, or stdin, that can be stopped while it waits for whoever writes to it."""

    def __init__(self, path: str, stop: threading.Event) -> None:
        try:
            self._handle = os.dup(0) if path == "-" else os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            raise InputError(f"{'stdin' if path == '-' else path} cannot be opened ({error.strerror})") from error
        self._stop = stop

    def read(self, size: int = -1) -> bytes:
        while not self._stop.is_set():
            if select.select([self._handle], [], [], 0.2)[0]:
                try:
                    return os.read(self._handle, size if size > 0 else 2**16)
                except BlockingIOError:
                    continue
        return b""

    def close(self) -> None:
        os.close(self._handle)


def _frames(film: FilmReader) -> Iterator[VideoFrame]:
    while (frame := film.decode()) is not None:
        yield frame


def _has_end(film: FilmReader, address: Address) -> bool:
    """Whether a source has a length, so that its end is no loss."""
    if not address.is_network:
        return address.format is None
    return bool(film.container.duration) or (address.url.startswith("http") and film.container.size > 0)


def _silent(_: str) -> None:
    """Nobody is told."""
