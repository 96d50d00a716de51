"""Values of command lines, for argparse."""

from __future__ import annotations

import argparse
import re


def parse_size(text: str) -> tuple[int, int]:
    """Height and width of HEIGHTxWIDTH."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH, for example 400x600, not {text!r}")
    return int(match[1]), int(match[2])


def parse_count(text: str) -> int:
    """A number from 1 up."""
    if not re.fullmatch(r"[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"expected a number from 1 up, not {text!r}")
    return int(text)


def parse_counts(text: str) -> list[int]:
    """Numbers from 1 up, with commas between them."""
    return [parse_count(word) for word in text.split(",") if word]
