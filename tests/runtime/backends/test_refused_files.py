"""Files that a CPU backend refuses: an error of ours, and nothing is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import ArtifactError, Enhancer
from tests.runtime.conftest import make_info, write_artifact


@pytest.mark.parametrize(("backend", "title"), [("onnxruntime", "ONNX Runtime"), ("openvino", "OpenVINO")])
@pytest.mark.parametrize("operator", [b"Xlip", b"\xfflip"])
def test_an_unknown_operator(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], backend: str, title: str, operator: bytes
) -> None:
    """The second name is no text, and stands in the backend's message."""
    pytest.importorskip(backend)
    path = write_artifact(tmp_path / "it.onnx", make_info())
    path.write_bytes(path.read_bytes().replace(b"Clip", operator))
    with pytest.raises(ArtifactError, match=rf"{title} cannot load .*it\.onnx"):
        Enhancer(path, backend=backend)
    assert "".join(capfd.readouterr()) == ""
