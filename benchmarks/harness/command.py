"""Values of options on the command lines of the benchmarks."""

from __future__ import annotations

import argparse
import re

from runtime import shapes


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
