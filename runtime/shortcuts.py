"""Shortcuts for a first try: `runtime.networks()` and `runtime.enhance("night.jpg")`."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from runtime.artifact import locate
from runtime.enhancer import Enhancer
from runtime.options import DEFAULT_NETWORK, Tile
from runtime.tiling import Progress


def networks() -> list[str]:
    """The names of the networks that can be used here, as in Enhancer("pdn")."""
    return sorted(locate.network_names())


def enhance(
    image: Any,
    network: str = DEFAULT_NETWORK,
    *,
    strength: float = 1.0,
    gate: bool = False,
    tile: Tile = "auto",
    progress: Progress | None = None,
) -> Any:
    """Enhance a picture, the path of one, or a list of these, and return the same kind; of a path, its pixels.

        bright = runtime.enhance("night.jpg", strength=0.6)

    `progress` is called after each tile of a large picture with how many of how many are done.
    The network is opened once and stays open. For a backend, a device or a number of threads, make an `Enhancer`.
    """
    known = isinstance(network, str | os.PathLike)  # pyright: ignore[reportUnnecessaryIsInstance]
    enhancer = _opened(network) if known else Enhancer(network)  # which says what else may stand there
    return enhancer(image, strength=strength, gate=gate, tile=tile, progress=progress)


@cache
def _opened(network: str) -> Enhancer:
    return Enhancer(network)
