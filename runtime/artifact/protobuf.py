"""Protobuf's wire format: the fields of a message, read where they lie and written anew.

Enough for ONNX files, without the packages onnx and protobuf. A message is whatever gives so many of its bytes from a place
on, a file as well as bytes in memory. Whatever is wrong with it is a ValueError.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, NamedTuple

#: Wire types.
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

#: A number is at most so long; a field begins with one or two of them.
_LONGEST = 10

#: The bytes of a message: from a place on, at most so many.
Read = Callable[[int, int], bytes]


class Field(NamedTuple):
    """A field, by places in its message."""

    number: int
    #: Where it begins.
    start: int
    #: Where its payload begins and ends; a number (VARINT) has none.
    payload: int
    stop: int


def of_bytes(message: bytes) -> Read:
    """A message in memory."""
    return lambda place, count: message[place : place + count]


def of_file(file: BinaryIO) -> Read:
    """A message that is a file."""

    def read(place: int, count: int) -> bytes:
        file.seek(place)
        return file.read(count)

    return read


def fields(read: Read, size: int) -> Iterator[Field]:
    """The fields of a message of so many bytes. Payloads are stepped over, not read."""
    place = 0
    while place < size:
        start, head = place, read(place, 2 * _LONGEST)
        tag, place = parse_number(head, start, place)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise ValueError("field number 0")
        length = 0
        if kind == VARINT:
            _, place = parse_number(head, start, place)
        elif kind in (FIXED64, FIXED32):
            length = 8 if kind == FIXED64 else 4
        elif kind == BYTES:
            length, place = parse_number(head, start, place)
        else:
            raise ValueError(f"wire type {kind}")
        if place + length > size:
            raise ValueError("it ends in the middle of a field")
        yield Field(number, start, place, place := place + length)


def payloads(message: bytes, number: int) -> list[bytes]:
    """The payloads of the fields of one number."""
    return [message[field.payload : field.stop] for field in fields(of_bytes(message), len(message)) if field.number == number]


def texts(message: bytes, number: int) -> list[str]:
    """The same as texts."""
    return [payload.decode() for payload in payloads(message, number)]


def parse_number(head: bytes, start: int, place: int) -> tuple[int, int]:
    """The number at a place of a message whose bytes from `start` on are `head`, and the place behind it."""
    value = 0
    for shift in range(0, 7 * _LONGEST, 7):
        if place - start >= len(head):
            raise ValueError("it ends in the middle of a number")
        byte = head[place - start]
        value |= (byte & 0x7F) << shift
        place += 1
        if byte < 0x80:
            return value, place
    raise ValueError("a number is too long")


def field(number: int, payload: bytes) -> bytes:
    """A field of wire type BYTES."""
    return encode_number(number << 3 | BYTES) + encode_number(len(payload)) + payload


def encode_number(value: int) -> bytes:
    """A number from 0 up, as VARINT."""
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
