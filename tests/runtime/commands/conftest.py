"""Options of the command line that open a small artifact."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def engine(artifacts: Path) -> list[str]:
    return ["--engine", str(artifacts / "double.onnx"), "--backend", "onnxruntime", "--threads", "1"]
