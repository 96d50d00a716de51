"""What is zero in the dark picture is scored as zero, and nothing else is changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.harness import record
from benchmarks.studies import zeros
from train.pairs import Pair


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One pair; a quarter of the dark picture is zero, and none of the bright one."""
    random = np.random.default_rng(0)
    bright = random.integers(100, 200, (32, 48, 3), dtype=np.uint8)
    dark = bright // 10
    dark[:16, :24] = 0
    for side, picture in (("low", dark), ("high", bright)):
        (tmp_path / side).mkdir()
        assert cv2.imwrite(str(tmp_path / side / "1.png"), picture)
    return tmp_path


def test_black_is_kept_in_one_of_both_scores(data: Path) -> None:
    pair = Pair(data / "low" / "1.png", data / "high" / "1.png")
    truth = cv2.imread(str(pair.high))
    assert truth is not None
    perfect = np.ascontiguousarray(truth[..., ::-1], dtype=np.uint8)
    row = zeros.score_both("perfect", lambda low: perfect, [pair])
    assert row.share == 0.25 and row.pictures == 1
    assert row.psnr == row.equal_mean == 100.0  # no error at all is cut off there
    quarter = (truth[:16, :24].astype(float) / 255) ** 2
    assert row.psnr_black == pytest.approx(-10 * np.log10(quarter.sum() / truth.size), abs=1e-3)
    divided = zeros.score_both("division", lambda low: low * np.uint8(9), [pair])
    assert divided.psnr == divided.psnr_black < 20 and divided.equal_mean == divided.equal_mean_black


def test_it_runs_through_the_deployed_network(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    study = replace(zeros.STUDY, page=tmp_path / "page.md")
    study.page.write_text("<!-- figures: zeros -->\n<!-- end of zeros -->\n")
    assert study.main(["pdn-fast", "msrnet", "--data", str(data), "--record"]) == 0
    found = record.read(tmp_path / "zeros.json")
    assert [row["network"] for row in found.results] == ["pdn-fast", "msrnet"]
    assert all(row["psnr_black"] < row["psnr"] for row in found.results)
    assert zeros.figures(found) in capsys.readouterr().out and zeros.figures(found) in study.page.read_text()


def test_bad_input_is_one_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert zeros.STUDY.main(["--data", str(tmp_path / "absent")]) == 2
    assert zeros.STUDY.main(["nothing-like-it", "--data", str(data)]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2 and "absent" in lines[0] and "nothing-like-it" in lines[1]
