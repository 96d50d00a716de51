"""The trial of INT8 gives a file that runs, and is near what it was made of."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.harness.contenders import Contender, open_contender
from benchmarks.pictures.samples import sample_photographs
from benchmarks.studies import int8
from export.onnx_files import load
from runtime import Enhancer


def test_a_quantised_network_runs_and_is_near_the_exact_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    dark = np.ascontiguousarray(sample_photographs()[0][1][:96, :128])
    for name in ("low", "high"):
        (tmp_path / name).mkdir()
        assert cv2.imwrite(str(tmp_path / name / "1.png"), dark)
    assert int8.main(["msrnet", "--data", str(tmp_path), "--out", str(tmp_path)]) == 0
    path = tmp_path / "msrnet-int8.onnx"
    assert capsys.readouterr().out.strip().endswith(str(path))
    model, info = load(path)
    assert info.network == "msrnet-int8"
    opened = open_contender(Contender("retinexrt", str(path), 48, 64))
    assert opened.precision == "int8"  # in tables of times, as in those of quality
    opened.close()
    assert any(node.op_type == "QuantizeLinear" for node in model.graph.node)
    difference = np.abs(Enhancer(path)(dark).astype(int) - Enhancer("msrnet")(dark))
    assert difference.max() > 0 and difference.mean() < 4


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert int8.main(["unknown", "--data", str(tmp_path)]) == 2
    assert int8.main(["msrnet", "--data", str(tmp_path / "absent"), "--out", str(tmp_path)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2 and "retinexrt export unknown" in lines[0]
