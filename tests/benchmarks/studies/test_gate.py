"""The gate on real pairs, with the network that ships."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.pictures.pairs import find
from benchmarks.studies import gate
from runtime import Enhancer
from runtime.artifact import locate
from tests.runtime.conftest import make_info, write_artifact
from train.pairs import read_picture


@pytest.fixture(scope="module")
def pdn() -> Enhancer:
    path = locate.find("pdn.onnx")
    if path is None:
        pytest.skip("no pdn.onnx is shipped or exported")
    enhancer = Enhancer(path)
    if not enhancer.info.trained:
        pytest.skip("pdn.onnx is untrained here")
    return enhancer


@pytest.mark.slow
def test_bright_pictures_are_left_alone_and_dark_ones_are_not(pdn: Enhancer, data: Path) -> None:
    files = find(data / "LOL", "val")[::3]
    bright = gate.measure_bright(pdn, sorted({pair.high for pair in files}))
    assert bright.least is None or bright.least >= 30
    assert bright.mean_without_gate < 30
    dark = gate.measure_dark(pdn, files)
    assert dark.with_gate >= dark.without_gate - 0.05


@pytest.mark.slow
def test_dawn_comes_without_a_step(pdn: Enhancer, data: Path) -> None:
    brights = sorted({pair.high for pair in find(data / "LOL", "val")})
    for path in (brights[0], brights[-1]):
        assert gate.flicker(pdn, read_picture(path)[::4, ::4], gate=True) <= 1.2


def test_a_gate_that_drops_at_once_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The measure of flicker itself: a hard threshold fails by it."""
    import numpy as np

    from runtime import exposure

    write_artifact(tmp_path / "double.onnx", make_info())
    enhancer = Enhancer(tmp_path / "double.onnx")
    scene = np.full((32, 32, 3), 120, np.uint8)
    assert gate.flicker(enhancer, scene, gate=True) <= 1.2
    monkeypatch.setattr(exposure, "GATE_SHUT", exposure.GATE_OPEN + 0.01)
    assert gate.flicker(enhancer, scene, gate=True) > 2
