"""Limits: what the server takes and how long it waits, so that nobody can fill its memory or hold it up."""

from __future__ import annotations

import math
from argparse import ArgumentParser, Namespace
from dataclasses import dataclass

from runtime.errors import InputError


@dataclass(frozen=True)
class Limits:
    """Memory is bounded by `jobs` pictures of `pixels` that are enhanced, and `jobs` + `waiting` uploads and answers."""

    upload_mb: float = 64.0
    #: In millions, of one picture.
    megapixels: float = 64.0
    #: Pictures that are enhanced at the same time.
    jobs: int = 2
    #: Pictures that wait beyond those; more are refused.
    waiting: int = 16
    #: From the last byte of an upload to the first of the answer; as long may the upload take, and the answer.
    seconds: float = 120.0
    #: For the head of a request.
    head_seconds: float = 15.0
    connections: int = 256

    def __post_init__(self) -> None:
        for option, value, least in (
            ("--max-upload", self.upload_mb, 0.0),
            ("--max-pixels", self.megapixels, 0.0),
            ("--timeout", self.seconds, 0.0),
            ("--jobs", self.jobs, 0),
            ("--queue", self.waiting, -1),
        ):
            if not least < value < math.inf:
                raise InputError(f"{option} is {'0 or more' if least < 0 else 'more than 0'}, found {value}")

    @property
    def upload(self) -> int:
        """In bytes."""
        return int(self.upload_mb * 1e6)

    @property
    def pixels(self) -> int:
        return int(self.megapixels * 1e6)

    @classmethod
    def of(cls, arguments: Namespace) -> Limits:
        """The limits among the arguments of a command line."""
        return cls(arguments.max_upload, arguments.max_pixels, arguments.jobs, arguments.queue, arguments.timeout)


def add_limit_arguments(parser: ArgumentParser) -> None:
    """The limits that a command line has."""
    usual = Limits()
    parser.add_argument("--max-upload", type=float, default=usual.upload_mb, metavar="MB", help="default: %(default)g")
    parser.add_argument(
        "--max-pixels", type=float, default=usual.megapixels, metavar="MILLIONS", help="of one picture (default: %(default)g)"
    )
    parser.add_argument("--jobs", type=int, default=usual.jobs, metavar="N", help="pictures at a time (default: %(default)s)")
    parser.add_argument(
        "--queue", type=int, default=usual.waiting, metavar="N", help="pictures that may wait (default: %(default)s)"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=usual.seconds,
        metavar="SECONDS",
        help="for one picture (default: %(default)g)",
    )
