"""The demo's page in a real browser, from disk; and the demo as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.harness.timing import spread
from benchmarks.pictures.samples import sample_photographs
from benchmarks.showcase.demo import Ability, Picture, Timing, main, own_photograph, page
from runtime.errors import InputError
from tests.support.browser import chromium, complaints, screenshot

DARK, BRIGHT = (20, 30, 60), (200, 180, 140)


def _flat(color: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.full((200, 300, 3), color, np.uint8)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    with chromium(tmp_path) as opened:
        yield opened


def _dark_share(element: Any) -> float:
    picture = screenshot(element)
    columns = picture[picture.shape[0] // 2].astype(np.int16)
    dark = np.abs(columns - DARK).max(axis=1) < 12
    bright = np.abs(columns - BRIGHT).max(axis=1) < 12
    assert dark.sum() + bright.sum() > 0.97 * len(columns), "pixels that belong to neither picture"
    assert not dark[int(dark.sum()) + 5 :].any(), "the dark side is one piece, on the left"
    return float(dark.mean())


@pytest.mark.slow
def test_the_slider_moves_the_border(browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    written = tmp_path / "demo.html"
    pictures = [Picture("a <test> & more", _flat(DARK), _flat(BRIGHT))]
    timings = [Timing("pdn.onnx", "onnxruntime", spread([12.34, 12.34]))]
    written.write_text(page("pdn", True, pictures, [], timings, [Ability("Fly", False, "no <wings>")]), encoding="utf-8")
    assert "http" not in written.read_text(encoding="utf-8"), "the page needs no network"
    browser.get(written.as_uri())
    pair = browser.find_element(By.CLASS_NAME, "pair")
    slider = pair.find_element(By.TAG_NAME, "input")
    assert _dark_share(pair) == pytest.approx(0.5, abs=0.02)
    slider.send_keys(Keys.HOME)
    assert _dark_share(pair) == pytest.approx(0.0, abs=0.02)
    slider.send_keys(Keys.END)
    assert _dark_share(pair) == pytest.approx(1.0, abs=0.02)
    slider.send_keys(*[Keys.ARROW_LEFT] * 20)
    assert _dark_share(pair) == pytest.approx(0.8, abs=0.02)
    text = browser.find_element(By.TAG_NAME, "body").text
    assert "a <test> & more" in text and "no <wings>" in text and "12.3" in text
    assert not complaints(browser)


def test_samples_are_dark_and_the_same_everywhere() -> None:
    first, second = sample_photographs(), sample_photographs()
    assert len(first) == 4
    for (title, image), (_, again) in zip(first, second, strict=True):
        assert image.dtype == np.uint8 and max(image.shape) <= 640
        assert image.mean() < 90, title
        np.testing.assert_array_equal(image, again)


@pytest.mark.slow
def test_the_demo_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite(str(tmp_path / "night.png"), np.random.default_rng(0).integers(0, 40, (61, 83, 3), dtype=np.uint8))
    assert main([str(tmp_path / "night.png"), "--network", "msrcr", "--out", str(tmp_path / "out")]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"demo.html", *(f"{number}_{kind}.png" for number in range(5) for kind in ("dark", "enhanced"))}
    content = (tmp_path / "out" / "demo.html").read_text(encoding="utf-8")
    assert content.count('class="pair"') == 5 and "night.png" in content and "msrcr.onnx" in content
    assert "demo.html" in capsys.readouterr().out


def test_a_photograph_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text.jpg").write_text("not a picture")
    with pytest.raises(InputError, match=r"text\.jpg"):
        own_photograph(tmp_path / "text.jpg")
    assert main([str(tmp_path / "none.jpg"), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "none.jpg" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()
