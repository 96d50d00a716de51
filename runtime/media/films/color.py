"""Colours of films: what the numbers of a frame mean, as RGB for a network, and back with the right tags."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from av import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation, VideoReformatter

from runtime.errors import InputError
from runtime.images import Images
from runtime.media.films import hdr

#: Values of FFmpeg's enumerations, which are those of ISO/IEC 23091-4.
UNSPECIFIED = 2
BT709, BT470BG, SMPTE170M, BT2020 = 1, 5, 6, 9
_RGB, _FCC, _SMPTE240M, _BT2020_CONSTANT = 0, 4, 7, 10
_SRGB, _PQ, _HLG = 13, 16, 18
_LIMITED, _FULL = 1, 2

#: Matrices that swscale converts, and what it calls them.
_MATRICES = {BT709: 1, _FCC: 4, BT470BG: 5, SMPTE170M: 5, _SMPTE240M: 7, BT2020: 9}
#: From this height on, what is not tagged is taken for BT.709, as players do.
_HIGH_DEFINITION = 720

_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP


@dataclass(frozen=True)
class Tags:
    """What the numbers of an 8-bit frame of limited range mean; in an H.264 stream these are its tags."""

    matrix: int
    primaries: int
    transfer: int


@dataclass(frozen=True)
class Reading:
    """How frames of a film become RGB, decided once for all of them."""

    matrix: int
    full_range: bool
    transfer: int
    tags: Tags
    #: What changes on the way, and is to be told.
    notes: tuple[str, ...]
    _converter: VideoReformatter = field(default_factory=VideoReformatter)

    def rgb(self, frame: VideoFrame, width: int, height: int) -> Images:
        """A frame as 8-bit RGB of `width` x `height`."""
        wide = self.transfer in (_PQ, _HLG) or self.matrix == BT2020
        converted = self._converter.reformat(
            frame,
            width,
            height,
            "rgb48le" if wide else "gbrp",  # planes take swscale half the time of pixels
            src_colorspace=_MATRICES.get(self.matrix),
            src_color_range=_FULL if self.full_range else _LIMITED,
            dst_color_range=_FULL,
            interpolation=_EXACT,
            threads=1,
        )
        if not wide:
            green, blue, red = (_plane(plane) for plane in converted.planes)
            return np.asarray(cv2.merge((red, green, blue)), np.uint8)
        pixels = converted.to_ndarray()
        curve: hdr.Curve = "pq" if self.transfer == _PQ else "hlg" if self.transfer == _HLG else "sdr"
        return hdr.to_sdr(np.asarray(pixels, np.uint16), curve)


def reading(frame: VideoFrame) -> Reading:
    """How a film whose first frame this is becomes RGB. InputError: its colours cannot be converted."""
    components = frame.format.components
    bits = max(component.bits for component in components)
    full = frame.format.name.startswith("yuvj") or frame.color_range == _FULL or frame.format.is_rgb
    matrix = _matrix(frame)
    notes: list[str] = []
    high = frame.color_trc in (_PQ, _HLG)
    if high:
        name = "PQ" if frame.color_trc == _PQ else "HLG"
        notes.append(f"HDR ({name}, {bits} bits) became SDR (BT.709, 8 bits)")
    elif matrix == BT2020:
        notes.append(f"BT.2020 ({bits} bits) became BT.709 (8 bits)")
    elif bits > 8:
        notes.append(f"{bits} bits a channel became 8")
    if any(component.is_alpha for component in components) and _is_transparent(frame):
        notes.append("transparency is left out")
    if frame.interlaced_frame:
        notes.append("its fields are enhanced as whole frames, and are no longer marked as interlaced")
    if high or matrix == BT2020:
        return Reading(matrix, full, frame.color_trc, Tags(BT709, BT709, BT709), tuple(notes))
    return Reading(matrix, full, frame.color_trc, _tags(frame, matrix), tuple(notes))


def _is_transparent(frame: VideoFrame) -> bool:
    """Whether a frame with an alpha channel makes use of it."""
    return bool(frame.reformat(format="rgba").to_ndarray()[..., 3].min() < 255)


def _matrix(frame: VideoFrame) -> int:
    found = BT2020 if frame.colorspace == _BT2020_CONSTANT else frame.colorspace
    if frame.format.is_rgb or found in (UNSPECIFIED, _RGB, 3):
        if found == UNSPECIFIED and frame.color_primaries == BT2020:
            return BT2020
        return BT709 if frame.height >= _HIGH_DEFINITION else SMPTE170M
    if found not in _MATRICES:
        raise InputError(f"its colours are coded by matrix {found} of ISO 23091-4, which cannot be converted to RGB here")
    return found


def _tags(frame: VideoFrame, matrix: int) -> Tags:
    """The film's own tags; those that it lacks are the usual ones beside its matrix."""
    usual = {BT709: (BT709, BT709), BT470BG: (BT470BG, SMPTE170M)}.get(matrix, (SMPTE170M, SMPTE170M))
    primaries = frame.color_primaries if frame.color_primaries not in (0, UNSPECIFIED) else usual[0]
    transfer = frame.color_trc if frame.color_trc not in (0, UNSPECIFIED) else usual[1]
    return Tags(matrix, primaries, transfer)


def _plane(plane: VideoPlane) -> Images:
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]


def coded(pixels: Images, tags: Tags, pixel_format: str, converter: VideoReformatter) -> VideoFrame:
    """RGB as a frame of the format that an encoder takes, of limited range."""
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24")
    if pixel_format in ("bgr0", "rgb24"):
        return converter.reformat(frame, format=pixel_format)
    made = converter.reformat(
        frame,
        format=pixel_format,
        src_color_range=_FULL,
        dst_colorspace=_MATRICES[tags.matrix],
        dst_color_range=_LIMITED,
        interpolation=_EXACT,
        threads=1,
    )
    made.colorspace, made.color_range = tags.matrix, _LIMITED
    made.color_primaries, made.color_trc = tags.primaries, tags.transfer
    return made
