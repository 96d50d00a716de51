"""Options of a film's encoding. Importing this costs nothing: whether an encoder is there is asked when a film is begun."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from typing import Any

from runtime.errors import InputError


@dataclass(frozen=True)
class FilmOptions:
    """How a film is written. `codec`: h264, h265, vp9, av1, mpeg4, ffv1 or an encoder of FFmpeg's; None: the file's best."""

    codec: str | None = None
    quality: int = 75

    def __post_init__(self) -> None:
        quality: Any = self.quality
        if isinstance(quality, bool) or not isinstance(quality, int) or not 1 <= quality <= 100:
            raise InputError(f"quality lies between 1 and 100, found {quality!r}")

    @classmethod
    def of(cls, arguments: Namespace) -> FilmOptions:
        """The options among the arguments of a command line."""
        return cls(arguments.codec, cls.quality if arguments.quality is None else arguments.quality)


def add_film_arguments(parser: ArgumentParser) -> None:
    """The options of `FilmOptions` on a command line."""
    parser.add_argument(
        "--codec", metavar="NAME", help="of films: h264, h265, vp9, av1, mpeg4, ffv1 (default: h264, or what the file takes)"
    )
    parser.add_argument("--quality", type=int, metavar="Q", help="of films, from 1 to 100 (default: 75)")
