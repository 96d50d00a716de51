"""A picture before and after in a notebook, and the notebook among the examples."""

from __future__ import annotations

import ast
import base64
import json
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import runtime
from runtime.comparison import Comparison
from runtime.errors import InputError
from tests.support.browser import chromium, complaints, screenshot

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "enhance.ipynb"

DARK, BRIGHT = (20, 30, 60), (200, 180, 140)


def _flat(color: tuple[int, int, int], height: int = 200, width: int = 300) -> NDArray[np.uint8]:
    return np.full((height, width, 3), color, np.uint8)


def _pictures(page: str) -> list[NDArray[Any]]:
    """What the page shows, RGB, the enhanced picture first."""
    texts = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    found = [cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR) for text in texts]
    return [picture[..., ::-1] for picture in found if picture is not None]


def test_both_pictures_are_in_the_page_and_nothing_is_fetched() -> None:
    page = runtime.compare(_flat(DARK), _flat(BRIGHT), "a <night> & more")._repr_html_()
    after, before = _pictures(page)
    assert np.abs(after.astype(int) - BRIGHT).max() <= 3 and np.abs(before.astype(int) - DARK).max() <= 3
    assert "a &lt;night&gt; &amp; more" in page and "http" not in page and "<script" not in page


def test_large_pictures_are_shown_small() -> None:
    compared = runtime.compare(_flat(DARK, 3000, 2000), _flat(BRIGHT, 3000, 2000))
    assert [picture.shape for picture in _pictures(compared._repr_html_())] == [(1024, 683, 3)] * 2
    assert compared.after.shape == (3000, 2000, 3) and repr(compared) == "<Comparison 3000x2000>"


def test_whatever_an_enhancer_takes(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "night.png"), picture[..., ::-1])
    kinds = (tmp_path / "night.png", str(tmp_path / "night.png"), Image.fromarray(picture), picture / np.float32(255))
    for kind in kinds:
        assert np.array_equal(runtime.compare(kind, picture).before, picture)
    grey = runtime.compare(picture[..., 0], np.dstack([picture, picture[..., 0]]))
    assert np.array_equal(grey.before[..., 2], picture[..., 0]) and np.array_equal(grey.after, picture)


def test_what_cannot_be_compared() -> None:
    with pytest.raises(InputError, match=r"\(200, 300, 3\) and \(100, 300, 3\)"):
        runtime.compare(_flat(DARK), _flat(DARK, 100))
    for several in ([_flat(DARK)], np.stack([_flat(DARK)] * 2), [], [[]]):
        with pytest.raises(InputError, match="one picture is shown, found several"):
            runtime.compare(several, several)
    for empty in (_flat(DARK, 0), _flat(DARK, width=0)):
        with pytest.raises(InputError, match="the picture is empty"):
            runtime.compare(empty, empty)


@pytest.mark.slow
def test_the_slider_moves_the_border(tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    written = tmp_path / "cell.html"
    written.write_text(runtime.compare(_flat(DARK), _flat(BRIGHT))._repr_html_(), encoding="utf-8")
    with chromium(tmp_path) as browser:
        browser.get(written.as_uri())
        pair, slider = browser.find_element(By.CSS_SELECTOR, "figure div"), browser.find_element(By.TAG_NAME, "input")

        def dark_share() -> float:
            row = screenshot(pair)[20].astype(int)
            return float((np.abs(row - DARK).max(axis=-1) < 12).mean())

        assert dark_share() == pytest.approx(0.5, abs=0.02)
        slider.send_keys(Keys.HOME)
        assert dark_share() == pytest.approx(0.0, abs=0.02)
        slider.send_keys(Keys.END)
        assert dark_share() == pytest.approx(1.0, abs=0.02)
        assert not complaints(browser)


def _run(cells: list[dict[str, Any]]) -> list[Any]:
    """Run a notebook's cells as a kernel does; returns the value of each cell's last expression, None where it has none."""
    names: dict[str, Any] = {}
    values: list[Any] = []
    for cell in cells:
        body = ast.parse("".join(cell["source"])).body
        last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), "cell", "exec"), names)
        values.append(eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None)  # type: ignore[attr-defined]
    return values


def test_the_notebook_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert book["nbformat"] == 4
    cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells), "kept without what it printed"
    shutil.copy(NOTEBOOK, tmp_path)
    monkeypatch.chdir(tmp_path)
    shown = [value for value in _run(cells) if isinstance(value, Comparison)]
    assert len(shown) >= 2
    for compared in shown:
        assert compared.after.mean() > compared.before.mean() and "<img" in compared._repr_html_()
