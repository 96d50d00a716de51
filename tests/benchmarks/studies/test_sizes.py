"""Memory of another program, and the bound that the tracked record keeps."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.harness import memory, record
from benchmarks.studies import sizes
from runtime.errors import BackendError, BackendUnavailableError, InputError
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


@pytest.mark.slow
def test_the_cpp_example_is_built_and_measured(tmp_path: Path) -> None:
    try:
        example = sizes.build_example("openvino", tmp_path / "build")
    except BackendUnavailableError as error:
        pytest.skip(str(error))
    artifact = write_artifact(tmp_path / "double.onnx", make_info())
    point = sizes.measure(artifact, "openvino", (64, 96), "cpp", tmp_path, example)
    assert (point.height, point.width, point.way) == (64, 96, "cpp")
    assert 20 < point.peak_mb < 500
    assert (tmp_path / "out.ppm").stat().st_size == (tmp_path / "in.ppm").stat().st_size


def test_without_a_compiler_the_cpp_example_is_left_out_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact = write_artifact(tmp_path / "double.onnx", make_info())
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(memory, "peak_of", lambda command: 100.0)
    assert sizes.STUDY.main([str(artifact), "--size", "64x96"]) == 0
    reason = "the C++ example cannot be compiled without cmake and c++"
    captured = capsys.readouterr()
    assert f"left out: {reason}\n" in captured.err
    assert f" C++, PPM to PPM, was left out: {reason}. Measured by" in captured.out
    with pytest.raises(BackendUnavailableError, match="on openvino alone"):
        sizes.build_example("onnxruntime", tmp_path)


def test_points_are_added_to_those_of_the_record() -> None:
    old = [sizes.Point(2, 2, "enhancer", 5), sizes.Point(1, 1, "enhancer", 6)]
    environment = record.environment()
    earlier = record.make("sizes", {"artifact": "a.onnx", "backend": "openvino"}, record.plain(old), environment)
    new = [sizes.Point(1, 1, "cpp", 7), sizes.Point(2, 2, "enhancer", 8)]
    assert sizes.add(new, earlier, "a.onnx", "openvino") == [old[1], *new]
    with pytest.raises(InputError, match=r"the record is of a\.onnx on openvino, not of b\.onnx on openvino"):
        sizes.add(new, earlier, "b.onnx", "openvino")


def test_the_record_keeps_its_bounds() -> None:
    points = [sizes.Point(**point) for point in record.read(record.RESULTS / "sizes.json").results]
    assert points
    for point in points:
        assert point.limit_mb is not None and point.peak_mb < point.limit_mb, point
