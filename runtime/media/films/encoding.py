"""Encoders of films: which one a container gets, how quality is told to it, and what it can store."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.codec
from av.error import FFmpegError

from runtime.errors import InputError, OutputError
from runtime.media.film_options import FilmOptions

#: Names of codecs on the command line, and their encoders, the best first.
ENCODERS: dict[str, tuple[str, ...]] = {
    "h264": ("libx264", "libopenh264"),
    "h265": ("libx265",),
    "vp9": ("libvpx-vp9",),
    "av1": ("libsvtav1", "libaom-av1"),
    "mpeg4": ("mpeg4",),
    "ffv1": ("ffv1",),
}
#: Codecs of a container, the best first. What is not listed gets `_USUAL`.
_CODECS = {".webm": ("vp9", "av1"), ".wmv": ("wmv2",), ".mpg": ("mpeg2video",), ".mpeg": ("mpeg2video",)}
_USUAL = ("h264", "mpeg4")
#: The format of FFmpeg that a file ending means, where FFmpeg would not guess it from a temporary name.
_FORMATS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".avi": "avi",
    ".wmv": "asf",
    ".mpg": "mpeg",
    ".mpeg": "mpeg",
    ".ts": "mpegts",
    ".mts": "mpegts",
}
_CONTAINER_OPTIONS = {
    "mp4": {"movflags": "+faststart"},
    "mov": {"movflags": "+faststart"},
    "mpegts": {"mpegts_copyts": "1"},
}
#: Frame rates of MPEG-2. In it, as in AVI, a frame is shown at a multiple of one frame's duration.
_MPEG2_RATES = tuple(
    Fraction(*rate) for rate in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (50, 1), (60000, 1001), (60, 1))
)
#: A film of varying rate is put on a grid of at most so many frames a second where it has to be on one.
_FINEST_GRID = Fraction(60)
#: The finest time base that MPEG-4 part 2 and its kin hold.
_COARSE, _COARSE_ENCODERS = Fraction(1, 30000), ("mpeg4", "wmv2")
#: Threads of encoders. x264 keeps to one: with four and its tree of macroblocks (see `_options`) bytes differed between runs,
#: and without the tree that was measured for one thread, and for four on tiny frames only.
_THREADS, _X264_THREADS = 4, 1


@dataclass(frozen=True)
class Encoding:
    """An encoder, its options, and what there is to say about the choice."""

    encoder: str
    options: dict[str, str]
    format: str
    #: What holds the film, in messages: a file's ending, or a protocol.
    holder: str
    container_options: dict[str, str]
    #: Whether time stamps are multiples of one frame's duration.
    grid: bool
    note: str = ""

    def pixel_format(self, width: int, height: int) -> str:
        """4:2:0, or a format without shared colours where the encoder takes no odd size otherwise."""
        if self.encoder == "ffv1":
            return "bgr0"
        odd = width % 2 or height % 2
        return "yuv444p" if odd and self.encoder in ("libx264", "libx265", "libsvtav1") else "yuv420p"

    def time_base(self, base: Fraction, average: Fraction, finest: Fraction | None) -> Fraction:
        """Of the frames: the input's where it can be, or a frame's duration, of a film of these rates."""
        if self.grid:
            return 1 / self._rate(average, finest or average)
        if self.encoder in _COARSE_ENCODERS and base.denominator > _COARSE.denominator:
            return Fraction(1, 1000) if self.format == "asf" else _COARSE
        return base

    def _rate(self, average: Fraction, finest: Fraction) -> Fraction:
        rate = max(average, min(finest, _FINEST_GRID))
        if self.encoder != "mpeg2video":
            return rate
        return next((known for known in _MPEG2_RATES if known >= rate * Fraction(999, 1000)), _MPEG2_RATES[-1])


def find_format(path: Path) -> str:
    """FFmpeg's name of a container."""
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError:
        raise OutputError(
            f"cannot write {path.suffix or 'files without an ending'} as a film; known: {' '.join(_FORMATS)}"
        ) from None


def choose(path: Path, options: FilmOptions) -> Encoding:
    """The encoding of a film named `path`."""
    name = find_format(path)
    note = ""
    if options.codec is not None:
        encoder = find_encoder(options.codec)
    else:
        wanted = _CODECS.get(path.suffix.lower(), _USUAL)
        codec = next((codec for codec in wanted if _present(codec)), None)
        if codec is None:
            raise OutputError(f"this build of FFmpeg has no encoder for {path.suffix}: {', '.join(wanted)}; try --codec")
        encoder = find_encoder(codec)
        note = "" if codec == wanted[0] else f"as {codec}: this build of FFmpeg does not encode {wanted[0]}"
    grid = name == "avi" or encoder == "mpeg2video"
    coded = _options(encoder, name, options.quality)
    return Encoding(encoder, coded, name, path.suffix, _CONTAINER_OPTIONS.get(name, {}), grid, note)


def find_encoder(codec: str) -> str:
    """The encoder of a codec named on the command line."""
    for name in ENCODERS.get(codec, (codec,)):
        if _is_encoder(name):
            return name
    known = ", ".join(name for name in ENCODERS if _present(name))
    raise InputError(f"no encoder for {codec!r} here; known: {known}, and FFmpeg's own names")


def _present(codec: str) -> bool:
    return any(_is_encoder(name) for name in ENCODERS.get(codec, (codec,)))


def _is_encoder(name: str) -> bool:
    try:
        return av.codec.Codec(name, "w").type == "video"
    except (FFmpegError, ValueError):
        return False


def _options(encoder: str, container: str, quality: int) -> dict[str, str]:
    """A quality from 1 to 100 in each encoder's own words."""
    left = 100 - quality
    options = {
        # With its tree of macroblocks, x264 makes other bytes of the same frames on a busy machine.
        "libx264": {"preset": "veryfast", "crf": str(9 + left * 36 // 100), "x264-params": "mbtree=0"},
        "libx265": {"preset": "fast", "crf": str(12 + left * 36 // 100), "x265-params": "log-level=error"},
        "libvpx-vp9": {"deadline": "good", "cpu-used": "5", "row-mt": "1", "crf": str(16 + left * 45 // 100), "b": "0"},
        "libsvtav1": {"preset": "9", "crf": str(14 + left * 45 // 100)},
    }.get(encoder)
    if options is None:
        options = {} if encoder == "ffv1" else {"flags": "+qscale", "global_quality": str(118 * (1 + left * 30 // 100))}
    if container == "avi" and encoder == "libx264":
        options["bf"] = "0"  # AVI has no time stamps that could say in which order frames are shown
    return {**options, "threads": str(_X264_THREADS if encoder == "libx264" else _THREADS)}
