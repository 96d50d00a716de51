"""File endings of pictures and films."""

from __future__ import annotations

from pathlib import Path

#: OpenCV allocates nothing for a picture of more pixels than this variable says when OpenCV is loaded; else than this many.
LIMIT_OF_OPENCV = "OPENCV_IO_MAX_IMAGE_PIXELS"
MOST_PIXELS = 2**30

#: Pictures that can be written.
WRITABLE = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".ppm")

#: Photographs that an extra is needed for: of telephones, and of cameras as their sensor saw them.
HEIC = (".heic", ".heif")
RAW = (".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw")

#: Pictures that are picked up in a folder.
READABLE = (*WRITABLE, ".jfif", ".jpe", ".pgm", ".pnm", ".jp2", ".avif", ".gif", *HEIC, *RAW)

#: Pictures that are written as JPEG, which they are or are like.
_AS_JPEG = (".jfif", ".jpe", *HEIC)

FILMS = (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".wmv", ".ts", ".mts")


def is_film_name(path: Path) -> bool:
    """Whether a path that need not exist is named like a film."""
    return path.suffix.lower() in FILMS


def is_film(path: Path) -> bool:
    """Whether a file is named like a film, or is a GIF of several frames."""
    return is_film_name(path) or (path.suffix.lower() == ".gif" and _is_animated(path))


def _is_animated(path: Path) -> bool:
    """Whether a GIF says more than once how long a frame is shown."""
    try:
        return path.is_file() and path.read_bytes().count(b"\x21\xf9\x04") > 1
    except OSError:  # whoever reads it says so
        return False


def is_file_name(path: Path) -> bool:
    """Whether a path that need not exist is named like a picture or a film rather than a folder."""
    return path.suffix.lower() in (*WRITABLE, *FILMS)


def written_as(name: Path, source: Path | None = None) -> Path:
    """The name of the output: the input's, or .jpg, .png or .mp4 where the input's format is read but not written."""
    if is_file_name(name):
        return name
    if source is not None and is_film(source):
        return name.with_suffix(".mp4")
    return name.with_suffix(".jpg" if name.suffix.lower() in _AS_JPEG else ".png")
