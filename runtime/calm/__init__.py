"""Films: what one frame knows of those before it."""

from __future__ import annotations

from typing import Any

from runtime.errors import InputError


def check(calm: Any) -> float:
    """How much is averaged over time: `calm` itself, or InputError."""
    if isinstance(calm, bool) or not isinstance(calm, int | float) or not 0.0 <= calm <= 1.0:
        raise InputError(f"calm lies between 0 (every frame alone) and 1, found {calm!r}")
    return calm
