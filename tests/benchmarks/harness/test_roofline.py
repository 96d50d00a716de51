"""The arithmetic of the graphs, against the networks' known costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.harness import roofline
from export.onnx_files import load


@pytest.mark.parametrize(
    ("precision", "size", "batch", "gmac"),
    [
        ("", (400, 600), 1, 16.12),
        ("_fp16", (400, 600), 1, 16.12),
        ("", (384, 384), 1, 9.90),
        ("", (400, 600), 3, 3 * 16.12),
        ("", (397, 599), 1, 16.12),  # padded to a multiple of 4
    ],
)
def test_pdn(exported: Callable[[str], Path], precision: str, size: tuple[int, int], batch: int, gmac: float) -> None:
    path = exported("pdn") / f"pdn{precision}.onnx"
    found = roofline.work(path, load(path)[1], batch, *size)
    assert found.gmac == pytest.approx(gmac, rel=0.002)
    per_picture = {"": 4, "_fp16": 2}[precision] * 206e6 / 1e6 * size[0] * size[1] / 240_000
    assert found.megabytes == pytest.approx(per_picture * batch, rel=0.02)


def test_global_means_do_not_grow_with_the_picture(exported: Callable[[str], Path]) -> None:
    path = exported("msr") / "msr.onnx"
    info = load(path)[1]
    small, large = (roofline.work(path, info, 1, side, side) for side in (64, 128))
    # Both sides of the products grow with the picture: more than by its pixels.
    assert 4.5 < large.gmac / small.gmac < 9


def test_the_estimate_is_the_larger_of_both() -> None:
    peaks = roofline.Peaks("cpu", {"fp32": 100.0}, 10.0)
    found = roofline.estimate(roofline.Work(gmac=1.0, megabytes=50.0), peaks, "fp32")
    assert found is not None
    assert found.compute == pytest.approx(20.0)  # 2 GFLOP at 100 GFLOP/s
    assert found.memory == pytest.approx(5.0)  # 50 MB at 10 GB/s
    assert found.milliseconds == found.compute
    assert roofline.estimate(roofline.Work(1.0, 1.0), peaks, "int8") is None


def test_peaks_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roofline, "_MATRIX", 64)
    monkeypatch.setattr(roofline, "_COPY", 2**16)
    found = roofline.peaks()
    assert found.gflops["fp32"] > 0
    assert found.copy_gbps > 0
