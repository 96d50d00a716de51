"""What times a GPU, on a real one: every contender by the one protocol, and what NVML says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness.board import open_board
from benchmarks.harness.contenders import Contender, backend_for, open_contender, pictures_of
from benchmarks.harness.lane import throughput
from benchmarks.harness.record import gpu_in_use
from runtime.errors import BackendUnavailableError
from tests.gpu.marks import needs_gpu

pytestmark = [pytest.mark.gpu, needs_gpu]


@pytest.mark.parametrize("kind", ["retinexrt", "onnxruntime", "torch", "torch-graph", "torch-compile"])
def test_every_contender_is_timed_on_what_it_computes(exported: Callable[[str], Path], kind: str) -> None:
    folder = exported("msrnet")
    images = pictures_of(Contender("onnxruntime", "", 96, 128))
    expected = open_contender(Contender("onnxruntime", str(folder / "msrnet.onnx"), 96, 128)).enhance(images)
    backend = backend_for("cuda", ".onnx").name if kind == "retinexrt" else "auto"
    try:
        opened = open_contender(Contender(kind, str(folder / "msrnet_fp16.onnx"), 96, 128, device="cuda", backend=backend))
    except BackendUnavailableError as error:
        pytest.skip(str(error))
    try:
        assert opened.lanes is not None
        lanes = opened.lanes.first(2)
        for lane in lanes:
            assert np.abs(lane.enhance(images).astype(int) - expected.astype(int)).max() <= 4
        sample = opened.run()
        assert sample.device is not None and sample.enqueue is not None and sample.latency is not None
        assert 0 < sample.device < sample.latency and 0 < sample.enqueue < sample.total
        found = throughput(lanes, 1, 0.3, open_board(gpu_in_use()))
        assert found.pictures > 0 and (found.watts is None or 5 < found.watts < 3000)
    finally:
        opened.close()
