"""Reading films: frames as RGB, upright, with their times; what lies between them is handed on as packets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av import Packet, VideoFrame
from av.error import ExitError, FFmpegError
from av.stream import Disposition

from runtime.errors import InputError
from runtime.images import Images
from runtime.media.films import color

_USUAL_RATE = Fraction(25)
#: Pictures that are no film: a cover, thumbnails.
_STILLS = Disposition.attached_pic | Disposition.timed_thumbnails

#: A film is whole with this share of the length that its header promises: the last few frames are often not decodable.
_ENOUGH, _SLACK = Fraction(98, 100), 3


@dataclass(frozen=True)
class Frame:
    """A frame in the order of display, or what follows the last one."""

    #: None: no frame follows, only packets.
    image: Images | None
    #: In units of the reader's time base.
    pts: int = 0
    duration: int = 0
    #: Of other streams, read since the frame before.
    packets: Sequence[Packet[Any]] = ()


@dataclass(frozen=True)
class Properties:
    """What a writer must know about the film that its frames come from."""

    #: Of the frames' times.
    time_base: Fraction
    #: Frames a second: on average, and the most that there may be.
    rate: Fraction
    finest_rate: Fraction | None
    pixel_aspect: Fraction
    tags: color.Tags


class FilmReader:
    """An open film. `read` gives its frames one by one."""

    def __init__(
        self, source: Any, name: str, options: dict[str, str] | None = None, *, kinds: Sequence[str] | None = None, **more: Any
    ) -> None:
        """Open a path, a URL or a binary stream; InputError says what is wrong with `name`.

        `kinds`: what other streams packets are kept of, as "audio" (None: of all).
        """
        self.name = name
        try:
            self.container = av.open(source, options=options or {}, **more)
        except (FFmpegError, OSError, ValueError) as error:
            raise InputError(_why_not(name, error)) from error
        found = [stream for stream in self.container.streams.video if not stream.disposition & _STILLS]
        if not found or found[0].codec_context is None:
            self.container.close()
            raise InputError(f"{name} holds no video that can be decoded")
        self.stream = found[0]
        #: None: all of the film's.
        self._streams = None if kinds is None else [self.stream, *(s for s in self.container.streams if s.type in kinds)]
        self.stream.thread_type = "AUTO"
        self.time_base = self.stream.time_base or Fraction(1, 90000)
        self.rate = self.stream.average_rate or self.stream.guessed_rate or _USUAL_RATE
        #: What there is to say about how it was read.
        self.notes: list[str] = []
        #: Packets that could not be decoded, and why reading ended before the film did.
        self.damaged = 0
        self.broken = ""
        self.count = 0
        self._end = 0
        self._first_pts: int | None = None
        self._packets: list[Packet[Any]] = []
        self._frames = self._decode()
        self._orient: Callable[[Images], Images] = _as_it_is
        self._size = (0, 0)
        self._reading: color.Reading | None = None
        self._resized = False
        self._ended = False
        #: Of its pixels, as they are shown upright.
        self.pixel_aspect = self.stream.sample_aspect_ratio or Fraction(1)

    @property
    def promised(self) -> int:
        """Frames that the header promises, or as many as its length comes to; 0: it says nothing."""
        return self.stream.frames or round(self.length * self.rate)

    @property
    def length(self) -> Fraction:
        """Seconds that the header promises for the pictures; 0: it says nothing."""
        if self.stream.frames and self.container.format.name == "avi":  # whose duration is shortened to what is there
            return self.stream.frames / self.rate
        if self.stream.duration:
            return self.stream.duration * self.time_base
        if text := self.stream.metadata.get("DURATION"):  # Matroska
            hours, minutes, seconds = text.split(":")
            return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
        alone = len(self.container.streams) == 1
        return Fraction(self.container.duration, av.time_base) if alone and self.container.duration else Fraction(0)

    @property
    def start(self) -> Fraction:
        """When the first frame is shown, in seconds of the film's own clock."""
        return (self.stream.start_time or 0) * self.time_base

    @property
    def properties(self) -> Properties:
        """What a writer must know; known once a frame was read."""
        assert self._reading is not None
        return Properties(self.time_base, self.rate, self.stream.base_rate, self.pixel_aspect, self._reading.tags)

    def breaks_off(self) -> bool:
        """Whether it ended before what its header promises."""
        if self.broken:
            return True
        shown = (self._end - (self._first_pts or 0)) * self.time_base
        return shown < self.length * _ENOUGH - _SLACK / self.rate

    def read(self) -> Frame | None:
        """The next frame; at the end what other streams still hold, then None."""
        frame = self.decode()
        if frame is not None:
            image = self.rgb(frame)
            pts, duration = self._timed(frame)
            self.count += 1
            return Frame(image, pts, duration, self.packets())
        if self._ended or not self._packets:
            return None
        self._ended = True
        return Frame(None, packets=self.packets())

    def decode(self) -> VideoFrame | None:
        """The next frame as it was coded; None: there is none."""
        return next(self._frames, None)

    def rgb(self, frame: VideoFrame) -> Images:
        """A frame of this film as RGB, upright, and of the first one's size."""
        if self._reading is None:
            self._begin(frame)
        if (frame.width, frame.height) != self._size and not self._resized:
            self._resized = True
            size = f"{frame.width}x{frame.height} at {float(self._end * self.time_base):.2f} s"
            self.notes.append(f"its size changes to {size}; scaled to {self._size[0]}x{self._size[1]}")
        assert self._reading is not None
        return self._orient(self._reading.rgb(frame, *self._size))

    def packets(self) -> list[Packet[Any]]:
        """Packets of other streams that were read since they were last asked for."""
        packets, self._packets = self._packets, []
        return packets

    def seek(self, seconds: Fraction) -> None:
        """Go to the last key frame that is not after a time; stay where that cannot be done."""
        with suppress(FFmpegError, OSError):
            self.container.seek(int(seconds / self.time_base), stream=self.stream)
        self._frames = self._decode()

    def close(self) -> None:
        self.container.close()

    def _decode(self) -> Iterator[VideoFrame]:
        """Frames of the video stream; packets of all others are laid aside."""
        packets = self.container.demux(self._streams) if self._streams else self.container.demux()
        while True:
            try:
                packet = next(packets, None)
            except (FFmpegError, OSError) as error:
                self.broken = _strerror(error)
                packet = None
            if packet is None:
                return
            if packet.stream.index != self.stream.index:
                if packet.size:
                    self._packets.append(packet)
                continue
            try:
                yield from packet.decode()
            except (FFmpegError, ValueError):
                self.damaged += 1

    def _begin(self, frame: VideoFrame) -> None:
        """Decide from the first frame how all are read."""
        self._reading = color.reading(frame)
        self.notes += self._reading.notes
        self._size = frame.width, frame.height
        matrix = frame.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return
        turned = _orientation(bytes(matrix))
        if turned is None:
            self.notes.append("it is to be turned by an angle that is no multiple of 90 degrees; left as it is")
            return
        self._orient, across = turned
        if across:
            self.pixel_aspect = 1 / self.pixel_aspect

    def _timed(self, frame: VideoFrame) -> tuple[int, int]:
        """When a frame is shown and for how long; times that the film lacks follow the one before."""
        usual = max(1, round(1 / self.rate / self.time_base))
        pts = frame.pts if frame.pts is not None else self._end
        if self._first_pts is None:
            self._first_pts = pts
        elif pts < self._last + 1:
            pts = self._last + 1
        duration = frame.duration if frame.duration > 0 else usual
        self._last, self._end = pts, pts + duration
        return pts, duration

    _last = 0


def _as_it_is(image: Images) -> Images:
    return image


def _orientation(matrix: bytes) -> tuple[Callable[[Images], Images], bool] | None:
    """What a display matrix does to pixels, and whether it swaps width and height; None: it is no turn by right angles."""
    a, b, _, c, d = (int(value) / 65536 for value in np.frombuffer(matrix, np.int32)[:5])
    straight, across = max(abs(a), abs(d)), max(abs(b), abs(c))
    if min(straight, across) > 0.01 or max(straight, across) == 0:
        return None
    swapped = across > straight
    leftwards, upwards = (c < 0, b < 0) if swapped else (a < 0, d < 0)

    def turn(image: Images) -> Images:
        image = image.swapaxes(0, 1) if swapped else image
        return np.ascontiguousarray(image[:: -1 if upwards else 1, :: -1 if leftwards else 1])

    return turn, swapped


def _why_not(name: str, error: Exception) -> str:
    text = _strerror(error)
    if isinstance(error, FileNotFoundError):
        return f"{name} does not exist"
    if "://" in name or name.startswith(("camera:", "/dev/video")):
        return f"{name} cannot be opened ({text})"
    if Path(name).is_file() and _lacks_index(Path(name)):  # a pipe would wait for another writer
        text = "its index (moov) is missing: the recording ended before it was written"
    return f"{name} is not a video that can be opened, or it is damaged ({text})"


def _lacks_index(path: Path) -> bool:
    """Whether a file is an MP4 or MOV without the box that says where its frames are."""
    kinds: list[bytes] = []
    try:
        with path.open("rb") as file:
            while len(head := file.read(16)) >= 8:
                size, kind = int.from_bytes(head[:4]), head[4:8]
                size = int.from_bytes(head[8:]) if size == 1 else size
                kinds.append(kind)
                if size < 8:  # 0: up to the end of the file
                    break
                file.seek(size - len(head), os.SEEK_CUR)
    except OSError:
        return False
    return kinds[:1] == [b"ftyp"] and b"moov" not in kinds


def _strerror(error: Exception) -> str:
    if isinstance(error, ExitError):
        return "nothing came in time"
    return str(getattr(error, "strerror", None) or error)
