"""TIFF files as containers: their pages, and the colour profile of the first one."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_SUBFILE, _PROFILE = 254, 34675

#: Kinds of a value: any bytes.
_UNDEFINED = 7

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


def profile(data: bytes) -> bytes | None:
    """The ICC profile of the first page."""
    order = _ORDERS[data[:4]]
    for _, entries in _directories(data):
        for entry in entries:
            tag, _, count, place = struct.unpack(order + "HHII", entry)
            if tag == _PROFILE and place + count <= len(data):
                return data[place : place + count]
        break
    return None


def with_profile(data: bytes, icc: bytes) -> bytes:
    """The file of one page with an ICC profile: both, and a new directory, stand at its end."""
    order = _ORDERS[data[:4]]
    _, entries = next(_directories(data))
    start = len(data) + len(data) % 2
    directory = start + len(icc) + len(icc) % 2
    own = struct.pack(order + "HHII", _PROFILE, _UNDEFINED, len(icc), start)
    entries = sorted([*entries, own], key=lambda entry: struct.unpack_from(order + "H", entry)[0])
    tail = icc.ljust(directory - start, b"\0") + struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)
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
