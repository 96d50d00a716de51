"""Metadata of picture files: the colour profile, EXIF, XMP, and further pictures."""

from __future__ import annotations

import re
from dataclasses import dataclass

from runtime.media import exif, tiff

#: Formats that hold an ICC profile or XMP, and those that hold EXIF.
_WITH_PROFILE = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")
_WITH_EXIF = (".jpg", ".jpeg", ".png", ".webp")

#: Of each, in a JPEG file: one segment.
_MOST_IN_JPEG = 65_500

#: Which way up the picture is, in XMP.
_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:>|\s*=\s*["']))[1-8]""")

_NAMES = {b"RGB ": "RGB", b"GRAY": "grey", b"CMYK": "CMYK"}


@dataclass(frozen=True)
class Metadata:
    """The metadata that is kept."""

    #: An ICC profile; None: the file had none.
    icc: bytes | None = None
    #: A TIFF structure with EXIF tags, for a picture that stands upright; None: the file had none.
    exif: bytes | None = None
    #: An XMP packet, for an upright picture too; None: the file had none.
    xmp: bytes | None = None

    def kept_in(self, suffix: str, *, grey: bool) -> tuple[Metadata, list[str]]:
        """The part that a file of a format holds, and remarks about the rest."""
        notes = [_obstacle_to_profile(self.icc, suffix, grey) if self.icc else "", "", ""]
        if self.exif and (suffix not in _WITH_EXIF or (_is_jpeg(suffix) and len(self.exif) > _MOST_IN_JPEG)):
            notes[1] = f"without its EXIF data, which {suffix} does not hold"
        if self.xmp and (suffix not in _WITH_PROFILE or (_is_jpeg(suffix) and len(self.xmp) > _MOST_IN_JPEG)):
            notes[2] = f"without its XMP data, which {suffix} does not hold"
        found = (self.icc, self.exif, self.xmp)
        kept = Metadata(*(None if note else each for note, each in zip(notes, found, strict=True)))
        return kept, [note for note in notes if note]


NONE = Metadata()


def upright_xmp(packet: bytes) -> bytes:
    """An XMP packet, for a picture that was turned upright."""
    return _ORIENTATION.sub(rb"\g<1>1", packet)


def _is_jpeg(suffix: str) -> bool:
    return suffix in (".jpg", ".jpeg")


def _obstacle_to_profile(icc: bytes, suffix: str, grey: bool) -> str:
    if int.from_bytes(icc[:4], "big") != len(icc) or icc[36:40] != b"acsp":
        return "without its colour profile, which is damaged"
    space = b"GRAY" if grey and suffix != ".webp" else b"RGB "
    if icc[16:20] != space:
        found = _NAMES.get(icc[16:20], "another kind of")
        return f"without its colour profile, which is for {found} pictures, and the result is {_NAMES[space]}"
    if suffix not in _WITH_PROFILE or (_is_jpeg(suffix) and len(icc) > _MOST_IN_JPEG):
        return f"without its colour profile, which {suffix} does not hold"
    return ""


def frames(data: bytes) -> int:
    """How many pictures, frames or pages a GIF, PNG, WebP or TIFF file holds; 1 for other files."""
    if tiff.is_tiff(data):
        return tiff.pages(data)
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return _gif_frames(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        control = exif.png_chunk(data, b"acTL")
        return int.from_bytes(control[:4], "big") if control else 1
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return max(1, exif.count_webp_chunks(data, b"ANMF"))
    return 1


def _gif_frames(data: bytes) -> int:
    """Images are counted; extensions and the blocks of both are stepped over."""
    count = 0
    try:
        position = 13 + _table(data[10])
        while data[position] in (0x21, 0x2C):
            if data[position] == 0x2C:
                count += 1
                position += 11 + _table(data[position + 9])
            else:
                position += 2
            while data[position]:
                position += 1 + data[position]
            position += 1
    except IndexError:  # cut off; the decoder says so
        pass
    return count


def _table(flags: int) -> int:
    """Bytes of a colour table."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
