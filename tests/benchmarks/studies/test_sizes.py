"""Memory of another program, and the bound that the tracked record keeps."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness import memory, record
from benchmarks.studies import sizes
from runtime.errors import BackendError
from runtime.media import pictures
from tests.runtime.conftest import make_info, write_artifact

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")


def test_the_peak_of_another_program_is_its_own() -> None:
    ours = np.ones(300 * 2**20, np.uint8)
    little, much = (
        memory.peak_of([sys.executable, "-c", f"import time; x = b'x' * ({mb} << 20); del x; time.sleep(0.2)"])
        for mb in (1, 150)
    )
    assert 145 < much - little < 155
    assert little < 100 < ours.nbytes / 2**20
    with pytest.raises(BackendError, match="ended with 3: out of luck"):
        memory.peak_of([sys.executable, "-c", "import sys; print('out of luck'); sys.exit(3)"])


def test_a_picture_is_measured_in_both_ways(tmp_path: Path) -> None:
    artifact = write_artifact(tmp_path / "double.onnx", make_info())
    for way in ("enhancer", "command"):
        point = sizes.measure(artifact, "onnxruntime", (64, 96), way, tmp_path)
        assert (point.height, point.width, point.way) == (64, 96, way)
        assert 20 < point.peak_mb < 500
    assert pictures.read(tmp_path / "in.jpg").rgb.shape == pictures.read(tmp_path / "out.jpg").rgb.shape == (64, 96, 3)


def test_the_record_keeps_its_bounds() -> None:
    points = [sizes.Point(**point) for point in record.read(record.RESULTS / "sizes.json").results]
    assert points
    for point in points:
        assert point.limit_mb is not None and point.peak_mb < point.limit_mb, point
