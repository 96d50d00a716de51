"""Addresses of live sources: URLs, cameras and named pipes, and how FFmpeg opens each."""

from __future__ import annotations

import re
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from runtime import shapes
from runtime.errors import InputError
from runtime.media import formats

#: Protocols that frames come over, and what is told to FFmpeg about each.
_PROTOCOLS: dict[str, dict[str, str]] = {
    "rtsp": {"rtsp_transport": "tcp"},
    "rtsps": {"rtsp_transport": "tcp"},
    "rtmp": {"rtmp_live": "live"},
    "rtmps": {"rtmp_live": "live"},
    "http": {},
    "https": {},
    "udp": {"fifo_size": "50000", "overrun_nonfatal": "1"},
    "tcp": {},
    "srt": {},
    "rtp": {},
}
#: How a stream is looked at before its first frame, for microseconds. Of what may be a film nothing read so far is left out.
_PROBED = {"analyzeduration": "2000000", "fflags": "+nobuffer+discardcorrupt"}
_MAY_BE_FILMS = ("http", "https")
_CAMERA, _DEVICE = re.compile(r"camera:(\d+)"), re.compile(r"/dev/video\d+")
#: FFmpeg's format for cameras by platform, and its name for camera N.
_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}


@dataclass(frozen=True)
class Address:
    """The way to open a source."""

    #: As it may be shown: without a password.
    name: str
    url: str
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict[str, str])
    is_pipe: bool = False
    is_network: bool = False


def is_url(text: str) -> bool:
    """Whether a text is an address on a network, as rtsp://camera/1."""
    return "://" in text and text.partition("://")[0].lower() in _PROTOCOLS


def is_live(text: str) -> bool:
    """Whether a text is the address of a camera, a stream or a named pipe, rather than of a file."""
    if is_url(text) or text.startswith("camera:") or _DEVICE.fullmatch(text.partition("?")[0]):
        return True
    try:
        path = Path(text)
        # A pipe that the shell made and still holds, as in `enhance <(COMMAND)`, is read as a file.
        return stat.S_ISFIFO(path.stat().st_mode) and path.parent != Path("/dev/fd") and path.suffix not in formats.READABLE
    except (OSError, ValueError):
        return False


def find(text: str) -> Address:
    """How a source is opened: an address for which `is_live` holds, a film's path, or - for stdin."""
    if is_url(text):
        protocol = urlsplit(text).scheme
        options = _PROTOCOLS[protocol] if protocol in _MAY_BE_FILMS else {**_PROBED, **_PROTOCOLS[protocol]}
        return Address(without_password(text), text, None, options, is_network=True)
    plain, _, wanted = text.partition("?")
    if text.startswith("camera:") or _DEVICE.fullmatch(plain):
        return _camera(text, plain, dict(parse_qsl(wanted, keep_blank_values=True)))
    return Address("stdin" if text == "-" else text, text, is_pipe=text == "-" or is_live(text))


def without_password(url: str) -> str:
    """A URL as it may be shown."""
    return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1:***@", url)


def _camera(text: str, plain: str, wanted: dict[str, str]) -> Address:
    """A camera of this machine; ?size=1280x720 and ?rate=30 ask it for these."""
    number = _CAMERA.fullmatch(plain)
    if plain.startswith("camera:") and number is None:
        raise InputError(f"a camera is written camera:0, found {text!r}")
    known = _CAMERAS.get(sys.platform)
    if known is None:
        raise InputError(f"cameras are not opened on {sys.platform}; a stream's URL is, as rtsp://HOST/PATH")
    options: dict[str, str] = {}
    for name, value in wanted.items():
        if name == "size" and shapes.parse(value, 2):
            options["video_size"] = value
        elif name == "rate" and re.fullmatch(r"\d+(\.\d+)?(/\d+)?", value):
            options["framerate"] = value
        else:
            raise InputError(f"a camera takes ?size=1280x720 and ?rate=30, joined by &; found {name}={value}")
    return Address(text, known[1].format(number[1]) if number else plain, known[0], options)
