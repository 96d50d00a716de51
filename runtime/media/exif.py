"""EXIF orientation: which way up a camera held the picture. OpenCV would drop the alpha channel when it turns one."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TAG = 0x0112
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}


def orientation(data: bytes) -> int:
    """The EXIF orientation of an encoded JPEG, PNG or WebP file, 1 to 8; 1 (upright) where none is found."""
    block = _exif_block(data)
    value = _read_tag(block) if block else None
    return value if value is not None and 1 <= value <= 8 else 1


def upright(data: bytes) -> bytes | None:
    """The EXIF tags of an encoded file, for a picture that was turned upright and has no thumbnail; None: it has none."""
    block = _exif_block(data)
    order = _ORDERS.get(block[:4]) if block else None
    if block is None or order is None:
        return None
    tags = bytearray(block)
    try:
        place = _find_tag(block, order)
        if place is not None:
            struct.pack_into(order + "H", tags, place, 1)
        (start,) = struct.unpack_from(order + "I", tags, 4)
        (count,) = struct.unpack_from(order + "H", tags, start)
        struct.pack_into(order + "I", tags, start + 2 + 12 * count, 0)  # the thumbnail's directory would follow
    except struct.error:
        return None
    return bytes(tags)


def png_chunk(data: bytes, name: bytes) -> bytes | None:
    """The first chunk of this name in a PNG file."""
    return _from_chunks(data, 8, ">I", name_first=False, name=name, trailer=4)


def count_webp_chunks(data: bytes, name: bytes) -> int:
    """How many chunks of this name a WebP file holds."""
    position, count = 12, 0
    while position + 8 <= len(data):
        count += data[position : position + 4] == name
        (length,) = struct.unpack_from("<I", data, position + 4)
        position += 8 + length + length % 2
    return count


def turn_upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo an orientation on H x W or H x W x C pixels; contiguous."""
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _exif_block(data: bytes) -> bytes | None:
    """The TIFF structure that holds the EXIF tags."""
    if data[:2] == b"\xff\xd8":
        return _from_jpeg(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return png_chunk(data, b"eXIf")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        block = _from_chunks(data, 12, "<I", name_first=True, name=b"EXIF", trailer=0)
        return block.removeprefix(b"Exif\0\0") if block else None
    return None


def _from_jpeg(data: bytes) -> bytes | None:
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", data, position + 2)
        segment = data[position + 4 : position + 2 + length]
        if data[position + 1] == 0xE1 and segment.startswith(b"Exif\0\0"):
            return segment[6:]
        position += 2 + length
    return None


def _from_chunks(data: bytes, position: int, size: str, *, name_first: bool, name: bytes, trailer: int) -> bytes | None:
    """Find a chunk in a file of [length, name, payload, check sum] (PNG) or [name, length, payload] (RIFF) chunks."""
    while position + 8 <= len(data):
        (length,) = struct.unpack_from(size, data, position + (4 if name_first else 0))
        found = data[position : position + 4] if name_first else data[position + 4 : position + 8]
        if found == name:
            return data[position + 8 : position + 8 + length]
        position += 8 + length + trailer + (length % 2 if name_first else 0)
    return None


def _read_tag(block: bytes) -> int | None:
    """The orientation among the tags of a TIFF structure."""
    order = _ORDERS.get(block[:4])
    try:
        place = _find_tag(block, order) if order else None
        return None if place is None else struct.unpack_from(f"{order}H", block, place)[0]
    except struct.error:
        return None


def _find_tag(block: bytes, order: str) -> int | None:
    """Where the value of the orientation stands: among the tags of the first directory."""
    (start,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack_from(order + "H", block, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(order + "HH", block, entry)
        if tag == _TAG and kind == 3:
            return entry + 8
    return None
