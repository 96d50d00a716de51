"""The public names of `runtime`, under the name that the package is installed by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import runtime

if TYPE_CHECKING:
    from runtime import *  # noqa: F403

__all__ = list(runtime.__all__)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in runtime.__all__:
        return getattr(runtime, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
