"""Options of a film. Importing this costs nothing: whether an encoder is there is asked when a film is begun."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass
from typing import Any, Literal

from runtime import calm
from runtime.errors import InputError

Comparison = Literal["side-by-side", "wipe"]


@dataclass(frozen=True)
class FilmOptions:
    """How a film is made. `codec`: h264, h265, vp9, av1, mpeg4, ffv1 or an encoder of FFmpeg's; None: the file's best.

    `calm`: how much is averaged over time, from 0, every frame alone, to 1; see `Film`.
    """

    codec: str | None = None
    quality: int = 75
    calm: float = 1.0
    #: Show the film before and after: beside one another, or with an edge between them that moves to and fro.
    comparison: Comparison | None = None

    def __post_init__(self) -> None:
        quality: Any = self.quality
        if isinstance(quality, bool) or not isinstance(quality, int) or not 1 <= quality <= 100:
            raise InputError(f"quality lies between 1 and 100, found {quality!r}")
        calm.check(self.calm)

    @classmethod
    def of(cls, arguments: Namespace) -> FilmOptions:
        """The options among the arguments of a command line."""
        return cls(
            arguments.codec,
            cls.quality if arguments.quality is None else arguments.quality,
            cls.calm if arguments.calm is None else arguments.calm,
            arguments.comparison,
        )


def add_film_arguments(parser: ArgumentParser) -> None:
    """The options of `FilmOptions` on a command line."""
    parser.add_argument(
        "--codec", metavar="NAME", help="of films: h264, h265, vp9, av1, mpeg4, ffv1 (default: h264, or what the file takes)"
    )
    parser.add_argument("--quality", type=int, metavar="Q", help="of films, from 1 to 100 (default: 75)")
    parser.add_argument(
        "--calm", type=float, metavar="C", help="of films: average over time, from 0, every frame alone, to 1 (default: 1)"
    )
    comparison = parser.add_mutually_exclusive_group()
    for name, text in (("side-by-side", "before on the left, after on the right"), ("wipe", "an edge between them that moves")):
        comparison.add_argument(
            f"--{name}", dest="comparison", action="store_const", const=name, help=f"of films, before and after: {text}"
        )
