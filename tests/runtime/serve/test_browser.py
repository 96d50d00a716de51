"""The page of `retinexrt serve` in a real browser: a photograph in, and the same bytes out as an Enhancer gives."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from retinexrt import Enhancer
from runtime.media import pictures
from runtime.media.pictures import Picture
from runtime.serve.application import application
from runtime.serve.limits import Limits
from tests.runtime.serve.test_bounds import PICTURE, Waiting
from tests.support.browser import chromium, complaints, drop, screenshot, wait_for
from tests.support.server import Running, serving, serving_here

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving("--network", "dawn", "--network", "msrcr") as running:
        yield running


@pytest.fixture
def browser(tmp_path: Path, server: Running) -> Iterator[Any]:
    with chromium(tmp_path) as opened:
        opened.get(server.address)
        wait_for(opened, "#network option")
        yield opened


def _downloaded(browser: Any, folder: Path, name: str) -> Picture:
    from selenium.webdriver.common.by import By

    browser.find_element(By.CLASS_NAME, "download").click()
    end = time.monotonic() + 30
    while not (folder / "downloads" / name).exists() and time.monotonic() < end:
        time.sleep(0.05)
    return pictures.read(folder / "downloads" / name)


def _shown(pair: Any, x: float) -> NDArray[np.float64]:
    """The mean colour of a stripe of what is seen."""
    seen = screenshot(pair)
    middle = int(x * seen.shape[1])
    return seen[:, middle - 20 : middle + 20].mean(axis=(0, 1))


def test_a_photograph_is_dropped_compared_and_downloaded(
    browser: Any, tmp_path: Path, dark_photographs: list[NDArray[np.uint8]]
) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    photograph = dark_photographs[0][:200, :300]
    drop(browser, {"night.png": pictures.encode(Picture(photograph))})
    wait_for(browser, "figure[data-state=done]")
    with Enhancer("dawn") as enhancer:
        expected, weaker = enhancer(photograph), enhancer(photograph, strength=0.5)
    assert np.array_equal(_downloaded(browser, tmp_path, "night-dawn.png").rgb, expected)

    pair, slider = browser.find_element(By.CLASS_NAME, "pair"), browser.find_element(By.CSS_SELECTOR, ".pair input")
    width = photograph.shape[1]
    for key, image in ((Keys.END, photograph), (Keys.HOME, expected)):
        slider.send_keys(key)
        for x in (0.3, 0.7):
            stripe = image[:, int(x * width) - 6 : int(x * width) + 6].mean(axis=(0, 1))
            assert np.abs(_shown(pair, x) - stripe).max() < 6

    browser.find_element(By.ID, "strength").send_keys(*[Keys.ARROW_LEFT] * 10)
    time.sleep(0.3)  # the page waits for the last change
    wait_for(browser, "figure[data-state=done]")
    (tmp_path / "downloads" / "night-dawn.png").unlink()
    assert np.array_equal(_downloaded(browser, tmp_path, "night-dawn.png").rgb, weaker)
    assert not complaints(browser)


def test_the_network_is_chosen_and_what_fails_is_said(
    browser: Any, tmp_path: Path, dark_photographs: list[NDArray[np.uint8]]
) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.select import Select

    Select(browser.find_element(By.ID, "network")).select_by_value("msrcr")
    photograph = dark_photographs[0][:100, :150]
    time.sleep(0.3)
    drop(browser, {"night.tif": pictures.encode(Picture(photograph), ".tiff"), "notes.txt": b"no picture"})
    wait_for(browser, "figure[data-state=done] + figure[data-state=failed]")
    with Enhancer("msrcr") as enhancer:
        assert np.array_equal(_downloaded(browser, tmp_path, "night-msrcr.png").rgb, enhancer(photograph))
    assert "notes.txt is not a picture" in browser.find_element(By.ID, "pictures").text
    assert browser.execute_script("return document.querySelector('.before').naturalWidth") == 150, "TIFF, shown as PNG"


def test_the_page_waits_for_a_place(tmp_path: Path) -> None:
    networks, limits = Waiting(), Limits(jobs=1, waiting=0)
    with serving_here(application(networks, limits), limits) as server, chromium(tmp_path) as opened:  # pyright: ignore[reportArgumentType]
        opened.get(server.address)
        wait_for(opened, "#network option")
        with ThreadPoolExecutor(1) as clients:
            other = clients.submit(server.enhance, PICTURE)
            assert networks.begun.acquire(timeout=20)
            drop(opened, {"night.png": PICTURE})
            wait_for(opened, "figure[data-state=enhancing]")
            time.sleep(1)
            assert networks.calls == 1
            networks.go.set()
            assert other.result().status == 200
        wait_for(opened, "figure[data-state=done]")
        assert networks.calls == 2


def test_a_page_of_another_site_gets_nothing(browser: Any, server: Running) -> None:
    browser.get("data:text/html,<title>elsewhere</title>")
    for path, options in (("enhance", {"method": "POST", "mode": "no-cors", "body": "x"}), ("networks", {})):
        fetch = "return fetch(...arguments).then(() => 'read', () => 'refused')"
        assert browser.execute_script(fetch, f"{server.address}{path}", options) == "refused"
    frame = """
const frame = document.createElement("iframe");
frame.src = arguments[0];
document.body.append(frame);
return new Promise((done) => frame.addEventListener("load", () => done("loaded")));
"""
    assert browser.execute_script(frame, server.address) == "loaded"
    browser.switch_to.frame(0)
    assert not browser.find_elements("id", "network"), "nor is it shown in a frame"
