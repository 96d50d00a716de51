"""JPEG files that end too soon, or are damaged in the middle: decoders make grey of what is missing and go on."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable
from typing import TypeVar

Made = TypeVar("Made")

#: A marker, as opposed to a byte 0xFF among the pixels (0x00 follows), a restart between them, and padding.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

#: What libjpeg says of damage, and how many bytes cameras put before the end of a picture that is whole.
_DAMAGE = re.compile(rb"(?:Corrupt JPEG data|Premature end of JPEG|Invalid|Inconsistent)[^\r\n]*")
_PADDING = re.compile(rb"Corrupt JPEG data: [1-8] extraneous bytes before marker 0xd9")

_lock = threading.Lock()


def is_jpeg(data: bytes) -> bool:
    return data[:2] == b"\xff\xd8"


def ends(data: bytes) -> bool:
    """Whether a JPEG file has the marker of its end. Segments are stepped over: a thumbnail in one has an end of its own."""
    marker = _MARKER.search(data, 2)
    while marker and marker[0] != b"\xff\xd9":
        length = int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        marker = _MARKER.search(data, marker.end() + length)
    return marker is not None


def decode(decoder: Callable[[], Made]) -> tuple[Made, str]:
    """Decode, and what libjpeg says of damage meanwhile; empty: nothing.

    It says so on the process's standard error and nowhere else: that goes to a file while one picture is decoded. What
    others write to it in this time is handed on.
    """
    with _lock:
        try:
            sys.stderr.flush()
            kept = os.dup(2)
        except (OSError, ValueError, AttributeError):  # there is no standard error, and nobody to tell
            return decoder(), ""
        try:
            with tempfile.TemporaryFile() as heard:
                os.dup2(heard.fileno(), 2)
                try:
                    made = decoder()
                finally:
                    os.dup2(kept, 2)
                    heard.seek(0)
                    said = heard.read()
                    if rest := _DAMAGE.sub(b"", said).strip():
                        os.write(2, rest + b"\n")
        finally:
            os.close(kept)
    found = _DAMAGE.search(_PADDING.sub(b"", said))
    return made, found[0].decode(errors="replace") if found else ""
