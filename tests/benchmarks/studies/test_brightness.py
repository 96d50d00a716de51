"""Every combination is trained once, and the table says which is which."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.harness import record
from benchmarks.studies import brightness
from train.pairs import PairStore, find_pairs


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two pairs, one of them to validate on."""
    random = np.random.default_rng(0)
    for name in ("1", "2"):
        bright = random.integers(40, 150 + 50 * int(name), (192, 208, 3), dtype=np.uint8)
        for side, picture in (("low", bright // 10), ("high", bright)):
            (tmp_path / side).mkdir(exist_ok=True)
            assert cv2.imwrite(str(tmp_path / side / f"{name}.png"), picture)
    return tmp_path


def test_all_are_trained_once_and_what_is_finished_is_kept(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(brightness, "MEANS", (brightness.MEANS[0], brightness.MEANS[-1]))
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(brightness, "PAGE", tmp_path / "page.md")
    brightness.PAGE.write_text("<!-- figures: ablation -->\n<!-- end of ablation -->\n")
    command = ["--data", str(data), "--out", str(tmp_path / "out"), "--steps", "2", "--threads", "1", "--record"]
    assert brightness.main(command) == 0
    first = capsys.readouterr().out
    found = record.read(tmp_path / "ablation.json")
    assert [(row["network"], row["means"]["level"]) for row in found.results] == [
        (network, level) for network in ("pdn-fast", "pdn-global-fast") for level in (0.0, 1.0)
    ]
    assert all(0 < row["scores"]["psnr"] < 60 and row["scores"]["pictures"] == 1 for row in found.results)
    assert len({row["scores"]["psnr"] for row in found.results}) == 4
    assert brightness.figures(found) in first and brightness.figures(found) in brightness.PAGE.read_text()
    assert "|none|1|no|" in first and "|yes|0.5 to 2|yes|" in first

    def never(*_: object) -> None:
        raise AssertionError("a finished training was begun again")

    from train.loop import Trainer

    monkeypatch.setattr(Trainer, "run", never)
    assert brightness.main(command) == 0
    assert brightness.figures(record.read(tmp_path / "ablation.json")) == brightness.figures(found)


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out")]
    assert brightness.main(["--data", str(tmp_path / "absent"), *out]) == 2
    assert brightness.main(["--data", str(tmp_path), "--device", "tpu", *out]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2 and "is not a folder" in lines[0] and "tpu" in lines[1]
    with pytest.raises(SystemExit):
        brightness.main(["--data", str(tmp_path), "--steps", "0"])


def test_brightness_follows_the_input_or_not(data: Path, tmp_path: Path) -> None:
    """Of a network that doubles its input, and of one whose output is as bright whatever comes in."""
    import torch

    means = brightness.MEANS[0]
    trainer = brightness.train("pdn-fast", means, data, tmp_path / "out", 1, torch.device("cpu"))
    trainer.val_store = PairStore(find_pairs(data, "train") + find_pairs(data, "val"))
    dark = [picture.mean() for picture, _ in (trainer.val_store[0], trainer.val_store[1]) if picture is not None]
    assert dark[0] != dark[1]

    class Doubles(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * x

    class Levels(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 0 + 0.5

    truths = [trainer.val_store[index][1].mean() for index in range(2)]
    # Doubled, the output is a fifth of the truth in both; of one brightness, it is off by what the truths differ.
    for network, follows, off in ((Doubles(), 1.0, 0.0), (Levels(), 0.0, abs(np.log(truths[0] / truths[1])) / 2)):
        trainer.best_network = lambda network=network: network
        found = brightness.brightness(trainer)
        assert found.follows == pytest.approx(follows, abs=0.02)
        assert found.off == pytest.approx(off, abs=0.02)
    assert off > 0.05  # far beyond the tolerance
