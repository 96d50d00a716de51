"""Frames of a C++ application that stay on the GPU, against the same artifact called from Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from runtime import Enhancer, backends
from tests.gpu.marks import needs_gpu
from tests.gpu.plans import build_plan
from tests.runtime.cpp.conftest import Programs, read_ppm, write_ppm

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    needs_gpu,
]


@pytest.fixture(scope="module")
def plan(exported: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PDN as a plan of the first flavour that runs here."""
    for flavour in ("tensorrt", "tensorrt_rtx"):
        if backends.get_backend(flavour).probe().usable:
            folder = tmp_path_factory.mktemp("plan")
            return build_plan(exported("pdn") / "pdn_fp16.onnx", folder, flavour, "1x16x16", "1x100x160", "1x128x192")
    pytest.skip("neither TensorRT nor TensorRT-RTX runs here")


@pytest.mark.parametrize("program", ["device_embedded", "enhance_embedded", "tensorrt_plan"])
def test_a_plan_gives_what_python_gives(plan: Path, tmp_path: Path, program: str) -> None:
    programs = Programs("runtime-cpp-tests")
    image = np.random.default_rng(0).integers(0, 60, (100, 160, 3), dtype=np.uint8)
    out = tmp_path / "out.ppm"
    programs(program, plan, write_ppm(tmp_path / "in.ppm", image), out)
    with Enhancer(plan) as enhancer:
        # TensorRT-RTX finishes its kernels beside the first runs: the two need not have run the same ones.
        most = 1 if enhancer.backend == "tensorrt_rtx" else 0
        assert np.abs(read_ppm(out).astype(int) - enhancer(image)).max() <= most
