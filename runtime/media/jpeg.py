"""JPEG files that end too soon, or are damaged in the middle: decoders make grey of what is missing and go on.

OpenCV's decoder tells that to nobody but the process's standard error. FFmpeg's fails at a code that does not exist and where
pixels are missing. So it decodes the picture twice, and the pixels are thrown away: as it is, and with its last bytes made
invalid. Those must be missed; where they are not, something in the middle has taken the place of other pixels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator

_START, _END = b"\xff\xd8", b"\xff\xd9"

#: A marker, as opposed to a byte 0xFF among the pixels (0x00 follows), a restart between them, and padding.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")

#: Kinds of segments, by the second byte of their marker. Frames hold 8 bits; sequential ones go from top to bottom.
_SEQUENTIAL, _PROGRESSIVE, _SCAN, _INTERVAL = (0xC0, 0xC1), 0xC2, 0xDA, 0xDD
_NOTES = (*range(0xE0, 0xF0), 0xFE)

#: Sixteen bits that are all 1 are no code of any JPEG file; among pixels a byte 0xFF is followed by 0x00.
_INVALID = b"\xff\x00" * 16
#: How many of the last bytes must be missed: a code and its value, before up to eight that some cameras add. A code that is
#: cut in two may end the picture by chance, so more bytes are tried then.
_TAILS = (4 + 8, 8 + 8)

#: Pictures with more restarts are judged as a whole.
_MOST_PIECES = 4096


def is_jpeg(data: bytes) -> bool:
    return data[:2] == _START


def ends(data: bytes) -> bool:
    """Whether a JPEG file has the marker of its end. Segments are stepped over: a thumbnail in one has an end of its own."""
    return any(segment == _END for segment, _ in _segments(data))


def size(data: bytes) -> tuple[int, int]:
    """Width and height as the file says them; (0, 0) for rare kinds."""
    height, width = _height_and_width(_frame(segment for segment, _ in _segments(data)))
    return width, height


def is_damaged(data: bytes) -> bool:
    """Whether pixels of a JPEG file that has an end are damaged; False also for the rare kinds that FFmpeg does not decode."""
    from av.error import FFmpegError  # FFmpeg's libraries take their time to load

    segments = [(segment, pixels.rstrip(b"\xff")) for segment, pixels in _segments(data) if segment[1] not in _NOTES]
    frame = _frame(segment for segment, _ in segments)
    if frame[4:5] != b"\x08":
        return False
    scans = [pixels for segment, pixels in segments if segment[1] == _SCAN]
    decodes = _decoder()
    try:
        if frame[1] == _PROGRESSIVE or len(scans) > 1:
            return not decodes(b"".join(segment + (pixels and pixels + _INVALID) for segment, pixels in segments))
        header = b"".join(segment for segment, _ in segments if segment != _END)
        pieces = _pieces(header, frame, scans[0]) if scans else []
        return not pieces or any(
            not decodes(head + pixels + _INVALID)
            or all(decodes(head + pixels[:-tail].rstrip(b"\xff") + _INVALID) for tail in _TAILS)
            for head, pixels in pieces
        )
    except FFmpegError:
        return False


def _segments(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each segment, and the pixels after it; the last is the marker of the end, where there is one."""
    found = _MARKER.search(data, 2)
    while found and found[0] != _END:
        stop = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
        following = _MARKER.search(data, stop)
        yield data[found.start() : stop], data[stop : following.start() if following else None]
        found = following
    if found:
        yield _END, b""


def _frame(segments: Iterable[bytes]) -> bytes:
    """The segment that describes the picture; empty for rare kinds."""
    return next((segment for segment in segments if segment[1] in (*_SEQUENTIAL, _PROGRESSIVE)), b"")


def _height_and_width(frame: bytes) -> tuple[int, int]:
    return int.from_bytes(frame[5:7], "big"), int.from_bytes(frame[7:9], "big")


def _pieces(header: bytes, frame: bytes, pixels: bytes) -> list[tuple[bytes, bytes]]:
    """The pixels between two restarts as pictures of their own, each with its header; none: they are not so many."""
    interval = next((segment for segment, _ in _segments(_START + header) if segment[1] == _INTERVAL), b"")
    between = int.from_bytes(interval[4:6], "big")
    factors = [divmod(each, 16) for each in frame[11::3]]
    # The least that is coded at a time: a square of eight pixels of each channel, or several of some.
    across, down = (8 * max(each) for each in zip(*factors, strict=True)) if len(factors) > 1 else (8, 8)
    if not across or not down:
        return []
    height, width = _height_and_width(frame)
    total = math.ceil(height / down) * math.ceil(width / across)
    if not between or total / between > _MOST_PIECES or between * across >= 2**16:
        return [(header, pixels)]
    pieces = [piece.rstrip(b"\xff") for piece in _RESTART.split(pixels)]
    if not pieces[-1]:  # a restart before the end
        del pieces[-1]
    if len(pieces) != math.ceil(total / between):
        return []
    lengths = [between] * (len(pieces) - 1) + [total - between * (len(pieces) - 1)]
    sizes = (down.to_bytes(2, "big") + (across * length).to_bytes(2, "big") for length in lengths)
    header = header.replace(interval, b"")
    return [(header.replace(frame, frame[:5] + size + frame[9:]), piece) for size, piece in zip(sizes, pieces, strict=True)]


def _decoder() -> Callable[[bytes], bool]:
    """Whether segments and pixels decode without an error; raises FFmpegError where FFmpeg does not know such files."""
    import av
    from av.error import InvalidDataError, PatchWelcomeError

    context = av.CodecContext.create("mjpeg", "r")
    context.options = {"err_detect": "explode", "threads": "1"}

    def decodes(body: bytes) -> bool:
        try:
            if not context.decode(av.Packet(_START + body + _END)):
                raise PatchWelcomeError(0, "no picture")
        except InvalidDataError:
            return False
        return True

    return decodes
