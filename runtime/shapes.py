"""Shapes as text: the sides of pictures, batches and tensors with x between them, for example 1x400x600."""

from __future__ import annotations

import re
from collections.abc import Iterable


def to_text(sides: Iterable[object]) -> str:
    """(1, 400, 600) -> "1x400x600"."""
    return "x".join(map(str, sides))


def parse(text: str, count: int) -> tuple[int, ...] | None:
    """The `count` whole numbers of a text such as 400x600; None where it is anything else."""
    return tuple(map(int, text.split("x"))) if re.fullmatch(rf"\d+(x\d+){{{count - 1}}}", text, re.ASCII) else None
