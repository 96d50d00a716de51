"""Writing films: enhanced frames are encoded, every other stream is copied, and so are metadata and chapters."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av import Packet
from av.error import ArgumentError, FFmpegError
from av.video.reformatter import VideoReformatter

from runtime.errors import OutputError
from runtime.images import Images
from runtime.media.films import color
from runtime.media.films.encoding import Encoding
from runtime.media.films.reader import FilmReader, Frame, Properties

#: What describes the input's container or encoder rather than the film.
_NOT_COPIED = ("major_brand", "minor_version", "compatible_brands", "encoder", "vendor_id", "creation_time", "DURATION")
#: Seconds by which a frame may come at another time than in the input without a word.
_NOTICEABLE = 0.002


class FilmWriter:
    """A film that is being written. `close` makes it whole."""

    def __init__(
        self,
        path: Path | str,
        name: str,
        encoding: Encoding,
        like: Properties,
        first: Images,
        head: FilmReader | None = None,
        sound: FilmReader | None = None,
    ) -> None:
        """Begin a film of frames like `first`; `name` is what messages call `path`.

        From `head` all other streams, metadata and chapters are copied; from `sound` nothing but sound.
        """
        self._name = name
        self._encoding = encoding
        self._like = like
        #: What there is to say about what could not be copied.
        self.notes = [encoding.note] if encoding.note else []
        self._streams: dict[int, Any] = {}
        self._converter = VideoReformatter()
        self._last: av.VideoFrame | None = None
        self._shown = 0
        self._uneven = False
        self._left_out = 0
        try:
            self._container = av.open(str(path), "w", format=encoding.format, options=dict(encoding.container_options))
            self._video = self._add_video(first.shape[1], first.shape[0])
            if head is not None:
                self._copy_head(head)
            if sound is not None:
                self._copy_streams(sound, "audio")
            self._container.start_encoding()
        except (FFmpegError, OSError, ValueError) as error:
            raise OutputError(self._why(error)) from error

    def write(self, frame: Frame) -> None:
        """Encode a frame, and copy the packets that came with it."""
        try:
            if frame.image is not None:
                for made in self._coded(frame.image, frame):
                    self._container.mux(self._video.encode(made))
            for packet in frame.packets:
                self._copy(packet)
        except (FFmpegError, OSError) as error:
            raise OutputError(self._why(error)) from error

    def close(self) -> None:
        """Write what the encoder still holds, and the index."""
        try:
            self._container.mux(self._video.encode(None))
            self._container.close()
        except (FFmpegError, OSError) as error:
            raise OutputError(self._why(error)) from error
        if self._left_out:
            self.notes.append(f"{self._left_out} packets of other streams are left out: their times go backwards")
        if self._uneven:
            grid = f"1/{float(1 / self._video.codec_context.time_base):g} s"
            self.notes.append(f"its frames are shown at multiples of {grid}: {self._encoding.holder} holds no other times")

    def _add_video(self, width: int, height: int) -> Any:
        like, encoding = self._like, self._encoding
        try:
            video: Any = self._container.add_stream(encoding.encoder, rate=like.rate, options=dict(encoding.options))
        except ValueError as error:
            raise ValueError(f"{self._encoding.holder} does not hold {encoding.encoder}; try another --codec") from error
        context = video.codec_context
        context.width, context.height = width, height
        context.pix_fmt = encoding.pixel_format(width, height)
        context.time_base = encoding.time_base(like.time_base, like.rate, like.finest_rate)
        context.sample_aspect_ratio = like.pixel_aspect
        if context.pix_fmt == "yuv444p":
            self.notes.append(f"{width}x{height} is odd, so its colours are kept whole (4:4:4): not every player shows that")
        if context.pix_fmt != "bgr0":
            tags = like.tags
            context.color_range = 1
            context.colorspace, context.color_primaries, context.color_trc = tags.matrix, tags.primaries, tags.transfer
        return video

    def _copy_head(self, reader: FilmReader) -> None:
        """All other streams, metadata and chapters."""
        source = reader.container
        _copy_metadata(source.metadata, self._container.metadata)
        _copy_metadata(reader.stream.metadata, self._video.metadata)
        self._copy_streams(reader)
        if chapters := source.chapters():
            self._container.set_chapters(chapters)

    def _copy_streams(self, reader: FilmReader, kind: str | None = None) -> None:
        """All other streams, or those of one kind."""
        for stream in reader.container.streams:
            if stream.index == reader.stream.index or kind not in (None, stream.type):
                continue
            if stream.type == "attachment":
                self._attach(stream)
            elif accepts(self._encoding.format, stream):
                self._streams[stream.index] = add_like(self._container, stream)
            else:
                self.notes.append(f"without {_described(stream)}: {self._encoding.holder} does not hold it")

    def _attach(self, stream: Any) -> None:
        name = stream.metadata.get("filename", "attachment")
        if self._encoding.format == "matroska":
            self._container.add_attachment(name, stream.mimetype or "application/octet-stream", stream.data)
        else:
            self.notes.append(f"without the attached {name}: {self._encoding.holder} does not hold it")

    def _coded(self, image: Images, frame: Frame) -> Iterator[av.VideoFrame]:
        """A frame as it is encoded; on a grid of times the one before it again, until its time has come."""
        made = color.coded(image, self._like.tags, self._video.codec_context.pix_fmt, self._converter)
        base = self._video.codec_context.time_base
        exact = frame.pts * self._like.time_base / base
        pts = round(exact) if self._last is None else max(round(exact), self._shown + 1)
        self._uneven |= abs(exact - pts) * base > _NOTICEABLE
        while self._encoding.grid and self._last is not None and self._shown + 1 < pts:
            self._shown += 1
            self._last.pts = self._shown
            yield self._last
        made.pts, made.time_base = pts, base
        made.duration = max(1, round(frame.duration * self._like.time_base / base))
        self._last, self._shown = made, pts
        yield made

    def _copy(self, packet: Packet[Any]) -> None:
        stream = self._streams.get(packet.stream.index)
        if stream is None:
            return
        packet.dts = packet.pts if packet.dts is None else packet.dts
        packet.stream = stream
        try:
            self._container.mux(packet)
        except ArgumentError:  # its times go backwards, which no container holds
            self._left_out += 1

    def _why(self, error: Exception) -> str:
        return f"cannot write {self._name}: {getattr(error, 'strerror', None) or error}"


def accepts(container_format: str, stream: Any) -> bool:
    """Whether a container can hold a copy of a stream: found by writing a header with nothing else in it."""
    try:
        with av.open(io.BytesIO(), "w", format=container_format) as trial:
            add_like(trial, stream)
            trial.start_encoding()
        return True
    except (FFmpegError, ValueError, TypeError):
        return False


def add_like(container: Any, stream: Any) -> Any:
    """A stream like another, for its packets."""
    copy = container.add_stream_from_template(stream)
    copy.disposition = stream.disposition
    _copy_metadata(stream.metadata, copy.metadata)
    return copy


def _copy_metadata(source: dict[str, str], target: dict[str, str]) -> None:
    target.update({key: value for key, value in source.items() if key not in _NOT_COPIED and not key.startswith("_STAT")})


def _described(stream: Any) -> str:
    """A stream in words."""
    language = stream.metadata.get("language", "")
    codec = stream.codec_context.name if stream.codec_context is not None else stream.name or "unknown"
    kind = {"audio": "sound", "subtitle": "subtitles", "video": "the second video"}.get(
        stream.type, f"a stream of {stream.type}"
    )
    return f"{kind} ({', '.join(word for word in (codec, language) if word)})"
