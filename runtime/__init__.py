"""The runtime: runs any artifact, and knows nothing of torch, export or engines.

Importing it costs milliseconds: numpy, OpenCV and a backend are imported when an Enhancer is made.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from runtime.errors import (
    ArtifactError,
    BackendError,
    BackendUnavailableError,
    ClosedError,
    GpuLostError,
    GpuMemoryError,
    IncompatiblePlanError,
    InputError,
    ManifestError,
    NewerSchemaError,
    OutputError,
    PictureTooLargeError,
    RetinexError,
)

if TYPE_CHECKING:
    from runtime.artifact import ArtifactInfo
    from runtime.calm.film import Film
    from runtime.comparison import compare
    from runtime.enhancer import Enhancer
    from runtime.media.live.stream import stream
    from runtime.shortcuts import enhance, networks

    __version__: str

__all__ = [
    "ArtifactError",
    "ArtifactInfo",
    "BackendError",
    "BackendUnavailableError",
    "ClosedError",
    "Enhancer",
    "Film",
    "GpuLostError",
    "GpuMemoryError",
    "IncompatiblePlanError",
    "InputError",
    "ManifestError",
    "NewerSchemaError",
    "OutputError",
    "PictureTooLargeError",
    "RetinexError",
    "__version__",
    "compare",
    "enhance",
    "networks",
    "stream",
]

# Warnings are logged under "retinexrt"; where an application sets up no logging, nothing is printed.
logging.getLogger("retinexrt").addHandler(logging.NullHandler())


#: Names that are imported when they are asked for, and from where.
_LATER = {
    "ArtifactInfo": "runtime.artifact",
    "Enhancer": "runtime.enhancer",
    "Film": "runtime.calm.film",
    "compare": "runtime.comparison",
    "enhance": "runtime.shortcuts",
    "networks": "runtime.shortcuts",
    "stream": "runtime.media.live.stream",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("retinexrt")
        except PackageNotFoundError:
            return "0+unknown"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
