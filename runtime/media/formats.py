"""File endings of pictures and films."""

from __future__ import annotations

from pathlib import Path

#: Pictures that can be written.
WRITABLE = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".ppm")

#: Pictures that are picked up in a folder.
READABLE = (*WRITABLE, ".pgm", ".pnm", ".jp2", ".avif", ".gif")

FILMS = (".mp4", ".m4v", ".mov", ".mkv", ".avi", ".webm", ".mpg", ".mpeg", ".wmv", ".ts", ".mts")


def is_film(path: Path) -> bool:
    """Whether a path is named like a film."""
    return path.suffix.lower() in FILMS


def is_file_name(path: Path) -> bool:
    """Whether a path that need not exist is named like a picture or a film rather than a folder."""
    return path.suffix.lower() in (*WRITABLE, *FILMS)


def written_as(name: Path) -> Path:
    """The name of the output: the input's, or .png where the input's format is read but not written."""
    return name if is_file_name(name) else name.with_suffix(".png")
