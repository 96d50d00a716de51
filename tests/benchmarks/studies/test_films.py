"""The study of films, on a film of a few frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.harness import films, record
from benchmarks.studies.films import STUDY
from runtime import BackendError
from tests.support.films import shown


def test_films_pan_and_are_dark(tmp_path: Path) -> None:
    films.make_film(tmp_path / "in.mp4", 48, 64, 20)
    frames = shown(tmp_path / "in.mp4").frames
    assert len(frames) == 20 and frames[0].mean() < 110
    assert (frames[0] != frames[19]).mean() > 0.5


@pytest.mark.slow
def test_every_contender_does_every_frame(tmp_path: Path) -> None:
    films.make_film(tmp_path / "in.mp4", 48, 64, 10)
    for name in films.CONTENDERS:
        request = films.Request(name, str(tmp_path / "in.mp4"), str(tmp_path / "out.mp4"), "msrnet", "fp32", 1)
        outcome = films.measure(request)
        assert outcome.frames == 10 and outcome.rate > 0 and outcome.peak_mb > 10
    with pytest.raises(BackendError, match=r"opencv failed: .*no-such-network"):
        films.measure(films.Request("opencv", str(tmp_path / "in.mp4"), str(tmp_path / "out.mp4"), "no-such-network"))


def test_the_table_says_what_was_measured() -> None:
    row = {"height": 48, "width": 64, "calm": 0.0, "precision": "bf16", "rate": 12.34, "peak_mb": 2345}
    rows = [{**row, "contender": name} for name in films.CONTENDERS]
    rows.append({**row, "contender": "retinexrt", "calm": 1.0})
    results = {"films": rows, "memory": {"frames": [10, 40], "peak_mb": [300, 301]}}
    text = STUDY.figures(record.make("films", {"network": "msrnet", "rounds": 1}, results, record.environment()))
    assert "|48x64|`retinexrt enhance`, bf16, calm|12.3|2,345|" in text
    assert "|48x64|an OpenCV loop around Enhancer, bf16|12.3|2,345|" in text
    assert "A film of 10 frames needs 300 MB, one of 40 frames 301 MB." in text
