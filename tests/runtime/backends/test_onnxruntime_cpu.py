"""ONNX Runtime on the CPU: what goes wrong is raised, and nothing is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import ArtifactError, Enhancer
from tests.runtime.conftest import make_info, write_artifact


def test_a_file_that_it_refuses_is_an_error_and_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_artifact(tmp_path / "it.onnx", make_info())
    for wrong in (b"Xlip", b"\xfflip"):
        path.write_bytes(path.read_bytes().replace(b"Clip", wrong))
        with pytest.raises(ArtifactError, match=r"ONNX Runtime cannot load .*it\.onnx"):
            Enhancer(path, backend="onnxruntime")
        write_artifact(path, make_info())
    assert "".join(capfd.readouterr()) == ""
