"""The measure of calm films itself: it sees noise that averages away, and a thing that leaves a trail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.harness import record
from benchmarks.studies import calm
from runtime import Enhancer
from runtime.calm import average
from runtime.images import Images
from tests.runtime.conftest import make_info, write_artifact
from tests.support.calm import noisy, scene


@pytest.fixture
def photograph() -> Images:
    return noisy(scene(120, 200), 0, 0.0)


def _brighter(image: Images, **options: Any) -> Images:
    return np.minimum(image.astype(np.float32) * 3, 255).astype(np.uint8)


def test_it_is_calmer_and_nearer_to_the_truth(photograph: Images) -> None:
    found = calm.compare(_brighter, calm.SCENES["still"], photograph)
    assert found["flicker_calm"] < 0.5 * found["flicker_alone"]
    assert found["psnr_calm"] > found["psnr_alone"]


def test_a_trail_is_seen(photograph: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    assert abs(calm.trail(_brighter, photograph)) < 0.02
    for name in ("LEAST", "MOST"):  # then nothing counts as moved
        monkeypatch.setattr(average, name, 255.0)
    assert calm.trail(_brighter, photograph) > 0.2


def test_the_paragraph(photograph: Images, tmp_path: Path) -> None:
    path = write_artifact(tmp_path / "double.onnx", make_info())
    enhancer = Enhancer(path, backend="onnxruntime", threads=1)
    results = calm.measure(enhancer, [photograph])
    found = record.make("calm", {"photographs": 1, "artifact": path.name}, results, record.environment())
    text = calm.figures(found)
    assert "|still, strong noise|" in text and "for the mean." in text and "Measured by `" in text
