"""The public names of `runtime`, under the name that the package is installed by."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime import *  # noqa: F403


def _beside() -> Any:
    """The package `runtime` beside this one, whatever else of that name lies in the working folder."""
    folder = Path(__file__).parents[1]
    found = sys.modules.get("runtime")
    if found is None:
        sys.path.insert(0, str(folder))
        try:
            return import_module("runtime")
        finally:
            sys.path.remove(str(folder))
    if not hasattr(found, "RetinexError"):
        raise ImportError(f"{found} was imported before retinexrt, which has a package of that name; rename it")
    return found


runtime = _beside()

__all__ = list(runtime.__all__)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in runtime.__all__:
        return getattr(runtime, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
