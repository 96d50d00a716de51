"""TIFF files as containers: their pages, and the colour profile and XMP of the first one."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_SUBFILE = 254

#: Tags of the XMP packet and of the ICC profile, and the kind of their values: bytes.
XMP, PROFILE = 700, 34675
_KINDS = {XMP: 1, PROFILE: 7}

#: Pages that are looked at, so that a chain in a circle ends.
_MOST = 10_000

_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}


def is_tiff(data: bytes) -> bool:
    return data[:4] in _ORDERS


def pages(data: bytes) -> int:
    """How many pages there are, without the smaller copies of others that some files hold."""
    order = _ORDERS[data[:4]]
    whole = 0
    for _, entries in _directories(data):
        kinds = [entry[8:] for entry in entries if struct.unpack_from(order + "H", entry)[0] == _SUBFILE]
        whole += not (kinds and struct.unpack(order + "I", kinds[0])[0] & 1)
    return whole


def block(data: bytes, wanted: int) -> bytes | None:
    """The value of the tag `wanted` of the first page."""
    order = _ORDERS[data[:4]]
    for _, entries in _directories(data):
        for entry in entries:
            tag, _, count, place = struct.unpack(order + "HHII", entry)
            if tag == wanted and place + count <= len(data):
                return data[place : place + count]
        break
    return None


def with_block(data: bytes, tag: int, content: bytes) -> bytes:
    """The file of one page with an XMP packet or a profile: it, and a new directory, stand at its end."""
    order = _ORDERS[data[:4]]
    _, entries = next(_directories(data))
    start = len(data) + len(data) % 2
    directory = start + len(content) + len(content) % 2
    own = struct.pack(order + "HHII", tag, _KINDS[tag], len(content), start)
    entries = sorted([*entries, own], key=lambda entry: struct.unpack_from(order + "H", entry)[0])
    tail = content.ljust(directory - start, b"\0") + struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)
    return data[:4] + struct.pack(order + "I", directory) + data[8:].ljust(start - 8, b"\0") + tail


def _directories(data: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Each page's place and its entries of 12 bytes; ends where the file does not hold what it promises."""
    order = _ORDERS[data[:4]]
    try:
        (place,) = struct.unpack_from(order + "I", data, 4)
        for _ in range(_MOST):
            if not place:
                return
            (count,) = struct.unpack_from(order + "H", data, place)
            end = place + 2 + 12 * count
            (following,) = struct.unpack_from(order + "I", data, end)
            yield place, [data[at : at + 12] for at in range(place + 2, end, 12)]
            place = following
    except struct.error:
        return
