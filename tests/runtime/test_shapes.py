"""Shapes go into text and come back; nothing else is taken for one."""

from __future__ import annotations

import pytest

from runtime import shapes


def test_there_and_back() -> None:
    assert shapes.to_text((1, 400, 600)) == "1x400x600"
    assert shapes.parse("1x400x600", 3) == (1, 400, 600)
    assert shapes.to_text(("N", 3)) == "Nx3"


@pytest.mark.parametrize(
    "text", ["", "400", "400x", "400x600x3", "-1x2", "4.0x6", "400X600", " 400x600", "400x600\n", "\u0664x6"]
)
def test_anything_else_is_none(text: str) -> None:
    assert shapes.parse(text, 2) is None
