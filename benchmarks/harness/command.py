"""Command lines of the benchmarks: values of options, and one way to run, to fail and to exit."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence

from runtime import shapes
from runtime.errors import RetinexError
from train.errors import TrainError


def run(
    work: Callable[[argparse.Namespace], int | None], parser: argparse.ArgumentParser, argv: Sequence[str] | None, extras: str
) -> int:
    """Parse and work; return the exit code. An error is one line and 2; `extras` install what cannot be imported."""
    arguments = parser.parse_args(argv)
    try:
        return work(arguments) or 0
    except (RetinexError, TrainError) as error:
        print(error, file=sys.stderr)
    except ImportError as error:
        print(f"{error.name} is missing; install it with: pip install 'retinexrt[{extras}]'", file=sys.stderr)
    return 2


def parse_size(text: str) -> tuple[int, int]:
    """Height and width of HEIGHTxWIDTH."""
    size = shapes.parse(text, 2)
    if size is None or not all(size):
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH, for example 400x600, not {text!r}")
    return size[0], size[1]


def parse_count(text: str) -> int:
    """A number from 1 up."""
    if not re.fullmatch(r"[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"expected a number from 1 up, not {text!r}")
    return int(text)


def parse_counts(text: str) -> list[int]:
    """Numbers from 1 up, with commas between them."""
    return [parse_count(word) for word in text.split(",") if word]
