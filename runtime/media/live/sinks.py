"""Where enhanced live frames go: a file, a network stream, raw frames on stdout, or a window."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit

import cv2

from runtime.errors import InputError, OutputError
from runtime.files import make_folder
from runtime.images import Images
from runtime.media.film_options import FilmOptions
from runtime.media.films import encoding
from runtime.media.films.encoding import Encoding
from runtime.media.films.reader import Frame, Properties
from runtime.media.films.writer import FilmWriter
from runtime.media.live.address import without_password
from runtime.media.live.source import FIRST_PAUSE, LAST_PAUSE, OPENING, TIME_BASE, LiveFrame, LiveSource

#: Formats of FFmpeg and their options, by protocol.
_FORMATS: dict[str, tuple[str, dict[str, str]]] = {
    "rtsp": ("rtsp", {"rtsp_transport": "tcp"}),
    "rtmp": ("flv", {"flvflags": "no_duration_filesize"}),
    "udp": ("mpegts", {"flush_packets": "1"}),
    "tcp": ("mpegts", {"flush_packets": "1"}),
    "srt": ("mpegts", {"flush_packets": "1"}),
}
#: Ports of protocols over TCP, where a URL names none.
_PORTS = {"rtsp": 554, "rtmp": 1935, "tcp": None}
#: Seconds after which whoever begins to watch sees a picture, and a file that grows is as whole as it was.
_KEY_FRAMES = 2
_UDP_PACKET = 1316


class Sink(Protocol):
    """Takes frames in order. `close` returns what there is to say; `whole`: nothing went wrong."""

    def write(self, frame: LiveFrame) -> None: ...

    def close(self, whole: bool = True) -> list[str]: ...


class Recording:
    """A film that grows: NAME.partial.SUFFIX, which players open at any time, and NAME.SUFFIX once it is closed."""

    def __init__(self, source: LiveSource, target: Path, options: FilmOptions) -> None:
        self._source, self._target, self._encoding = source, target, encoding.choose(target, options)
        self._partial = target.with_name(f"{target.stem}.partial{target.suffix}")
        self._writer: FilmWriter | None = None

    def write(self, frame: LiveFrame) -> None:
        if self._writer is None:
            make_folder(self._target.parent)
            like = self._source.properties
            made = _growing(self._encoding, like)
            self._writer = FilmWriter(
                self._partial,
                str(self._target),
                made,
                like,
                frame.image,
                sound=self._source.film if self._source.brings_sound else None,
            )
        self._writer.write(_timed(frame, self._source.properties))

    def close(self, whole: bool = True) -> list[str]:
        if self._writer is None:
            return []
        self._writer.close()
        if not whole:
            return [f"what was done is in {self._partial}"]
        try:
            self._partial.replace(self._target)
        except OSError as error:
            raise OutputError(f"cannot write {self._target}: {error.strerror}") from error
        return self._writer.notes


class Broadcast:
    """A network stream. One that cannot be written to is opened anew at growing intervals; frames are lost meanwhile."""

    def __init__(self, source: LiveSource, url: str, options: FilmOptions, tell: Callable[[str], object]) -> None:
        self._source, self._url, self._tell = source, url, tell
        self._name = without_password(url)
        self._options = options
        self._writer: FilmWriter | None = None
        self._notes: list[str] = []
        self._pause, self._next = FIRST_PAUSE, 0.0
        self._begun = False
        #: Frames that nobody was there for.
        self.lost = 0
        _check(url)

    def write(self, frame: LiveFrame) -> None:
        try:
            if self._writer is None and not self._open(frame.image):
                self.lost += 1
                return
            assert self._writer is not None
            self._writer.write(_timed(frame, self._source.properties))
        except OutputError as error:
            if not self._begun:
                raise
            self.lost += 1
            self._abandon(error)

    def close(self, whole: bool = True) -> list[str]:
        if self._writer is not None:
            with contextlib.suppress(OutputError):
                self._writer.close()
        return [*self._notes, *([f"{self.lost} frames were lost: {self._name} did not take them"] if self.lost else [])]

    def _open(self, image: Images) -> bool:
        """Begin to send; False: it is not yet time to try again."""
        if time.monotonic() < self._next:
            return False
        if self._begun:  # the first time not: who listens for one connection would take this for it
            _check_reachable(self._url, self._name)
        made = _live_encoding(self._url, self._options, self._source.properties)
        target = self._url
        if target.startswith("udp:") and "pkt_size" not in target:
            target += f"{'&' if '?' in target else '?'}pkt_size={_UDP_PACKET}"
        self._writer = FilmWriter(target, self._name, made, self._source.properties, image)
        self._notes = self._writer.notes
        if self._begun:
            self._tell(f"{self._name}: connected again")
        self._begun, self._pause = True, FIRST_PAUSE
        return True

    def _abandon(self, error: OutputError) -> None:
        if self._writer is not None:
            self._tell(f"{error}; connecting anew")
            with contextlib.suppress(OutputError):
                self._writer.close()
        self._writer = None
        self._next = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LAST_PAUSE)


class RawFrames:
    """RGB, 8 bits, one frame after another, into a binary stream."""

    def __init__(self, target: BinaryIO, tell: Callable[[str], object]) -> None:
        self._target, self._tell = target, tell
        self._begun = False

    def write(self, frame: LiveFrame) -> None:
        if not self._begun:
            self._begun = True
            height, width = frame.image.shape[:2]
            self._tell(f"raw RGB frames of {width}x{height} on stdout")
        self._target.write(frame.image.data)
        self._target.flush()

    def close(self, whole: bool = True) -> list[str]:
        return []


class Window:
    """A window with the newest frame. Only the main thread may call it."""

    def __init__(self, title: str) -> None:
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise InputError("--show needs a display, and there is none here")
        self._title = title
        self._begun = False

    def show(self, frame: LiveFrame) -> bool:
        """Show a frame; False: whoever watches has closed the window, or pressed q or Escape."""
        try:
            if not self._begun:
                cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
                cv2.resizeWindow(self._title, frame.image.shape[1], frame.image.shape[0])
                self._begun = True
            cv2.imshow(self._title, frame.image[..., ::-1])
            key = cv2.waitKey(1) & 0xFF
            return key not in (ord("q"), 27) and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error as error:
            raise OutputError(f"no window can be opened: {error.err or error}") from error

    def close(self) -> None:
        if self._begun:
            with contextlib.suppress(cv2.error):
                cv2.destroyWindow(self._title)


def _timed(frame: LiveFrame, properties: Properties) -> Frame:
    usual = max(1, round(1 / properties.rate / TIME_BASE))
    return Frame(frame.image, round(frame.seconds / TIME_BASE), usual, frame.sound)


def _growing(chosen: Encoding, like: Properties) -> Encoding:
    """The same encoding; the file can be played while it grows."""
    options = {"flush_packets": "1"}
    if chosen.format in ("mp4", "mov"):
        options["movflags"] = "+hybrid_fragmented+frag_keyframe"
    return replace(chosen, options=_with_key_frames(chosen, like), container_options=options)


def _with_key_frames(chosen: Encoding, like: Properties) -> dict[str, str]:
    return {**chosen.options, "g": str(round(_KEY_FRAMES * like.rate))}


def _live_encoding(url: str, options: FilmOptions, properties: Properties) -> Encoding:
    """An encoding that holds no frame back."""
    protocol = urlsplit(url).scheme.lower()
    name, container = _FORMATS[protocol]
    chosen = encoding.choose(Path("live.ts"), options)
    coder = {**_with_key_frames(chosen, properties), "bf": "0"}
    if chosen.encoder in ("libx264", "libx265"):
        coder |= {"tune": "zerolatency"}
    if chosen.encoder == "libx264":
        coder |= {"threads": str(min(4, os.cpu_count() or 1))}
    return replace(chosen, options=coder, format=name, holder=protocol.upper(), container_options=container)


def _check(url: str) -> None:
    protocol = urlsplit(url).scheme.lower()
    if protocol not in _FORMATS:
        raise OutputError(f"cannot send to {protocol}://; known: {', '.join(f'{name}://' for name in _FORMATS)}")


def _check_reachable(url: str, name: str) -> None:
    """Refuse a server that is not there. FFmpeg would wait for it, and everybody in this process with it."""
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme)
    if parts.scheme not in _PORTS or parts.hostname is None or port is None:
        return
    try:
        socket.create_connection((parts.hostname, port), OPENING).close()
    except OSError as error:
        raise OutputError(f"cannot write {name}: {error.strerror or error}") from error
