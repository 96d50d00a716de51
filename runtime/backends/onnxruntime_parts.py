"""The halves of an artifact in ONNX Runtime, on whichever provider."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from runtime.artifact import ArtifactInfo
from runtime.errors import BackendError, first_line
from runtime.images import Images
from runtime.tiling import Floats


class Parts:
    """The halves of an artifact, each a session; see the protocol `PartsSession`."""

    def __init__(self, info: ArtifactInfo, decide: Any, render: Any) -> None:
        assert info.parts is not None
        self._info, self._names, self._decide, self._render = info, info.parts, decide, render

    def decide(self, overview: Floats) -> tuple[Floats, ...]:
        return tuple(_run(self._decide, self._names.light, {self._names.overview: overview}))

    def render(self, image: Images, side: int, light: Sequence[Floats], *, film: bool = False) -> Images:
        given = {
            self._info.input.name: image,
            self._names.side: np.array([side]),
            **dict(zip(self._names.light, light, strict=True)),
        }
        return _run(self._render, [self._info.output.name], given)[0]


def _run(session: Any, wanted: Sequence[str], given: dict[str, Any]) -> list[Any]:
    try:
        return session.run(list(wanted), given)
    except Exception as error:
        shapes = ", ".join(f"{name} {value.shape}" for name, value in given.items())
        raise BackendError(f"ONNX Runtime failed on {shapes}: {first_line(error)}") from error
