"""The page in a real browser, with an `enhance.js` that paints: what it does with whatever enhances."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from runtime import page
from tests.support.browser import chromium, complaints, drop, screenshot, served, wait_for

DARK = (20, 30, 60)

#: Paints all pixels in a grey that tells the strength; refuses what holds "broken".
PAINTER = """
export const about = "Painted <here>";
export async function networks() {
  return [{ name: "dawn", title: "the default" }, { name: "pdn", title: "" }];
}
export async function enhance(blob, { network, strength, gate, signal, progress }) {
  calls.push([blob.name, network, strength, gate]);
  if ((await blob.text()).includes("broken")) throw new Error("not a <picture>");
  progress?.(1, 2);
  await new Promise((done) => setTimeout(done, 30));
  signal.throwIfAborted();
  const canvas = new OffscreenCanvas(300, 200), grey = Math.round(200 * strength);
  const context = canvas.getContext("2d");
  context.fillStyle = `rgb(${grey} ${grey} ${grey})`;
  context.fillRect(0, 0, 300, 200);
  return canvas.convertToBlob({ type: "image/png" });
}
export const calls = window.calls = [];
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("site")
    for name in page.FILES:
        (folder / name).write_text(page.read(name), encoding="utf-8")
    (folder / "enhance.js").write_text(PAINTER)
    with served(folder) as where:
        yield where


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def browser(opened: Any, address: str) -> Any:
    opened.get(address)
    wait_for(opened, "#network option")
    return opened


def _encoded(ending: str = ".png") -> bytes:
    good, data = cv2.imencode(ending, np.full((200, 300, 3), DARK[::-1], np.uint8))
    assert good
    return data.tobytes()


def _middle(browser: Any, x: float) -> tuple[int, ...]:
    from selenium.webdriver.common.by import By

    picture = screenshot(browser.find_element(By.CLASS_NAME, "pair"))
    height, width = picture.shape[:2]
    return tuple(int(value) for value in picture[height // 2, int(x * width)])


#: As one who drags the strength, chooses a network and ticks the box, faster than the page settles.
_CHANGES = """
const change = (id, what) => {
  const element = document.getElementById(id);
  Object.assign(element, what);
  element.dispatchEvent(new Event("input", { bubbles: true }));
};
for (const value of ["0.7", "0.6", "0.5"]) change("strength", { value });
change("network", { value: "pdn" });
change("gate", { checked: true });
"""


@pytest.mark.slow
def test_a_dropped_picture_is_shown_before_and_after(browser: Any) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    drop(browser, {"night <1>.png": _encoded()})
    wait_for(browser, "figure[data-state=done]")
    assert _middle(browser, 0.25) == DARK and _middle(browser, 0.75) == (200, 200, 200)
    browser.find_element(By.CSS_SELECTOR, ".pair input").send_keys(*[Keys.ARROW_RIGHT] * 40)
    assert _middle(browser, 0.75) == DARK and _middle(browser, 0.95) == (200, 200, 200)
    text = browser.find_element(By.TAG_NAME, "body").text
    assert "night <1>.png" in text and "1 of 1 enhanced" in text and "Painted <here>" in text
    assert browser.find_element(By.CLASS_NAME, "download").get_attribute("download") == "night <1>-dawn.png"
    assert not complaints(browser)


@pytest.mark.slow
def test_the_settings_count_for_pictures_that_are_there(browser: Any) -> None:
    drop(browser, {"a.png": _encoded(), "b.png": _encoded()})
    wait_for(browser, "figure[data-state=done] + figure[data-state=done]")
    browser.execute_script(_CHANGES)
    wait_for(browser, "figure[data-state=enhancing]")
    wait_for(browser, "figure[data-state=done] + figure[data-state=done]")
    assert _middle(browser, 0.75) == (100, 100, 100)
    calls = browser.execute_script("return calls")
    assert calls == [
        ["a.png", "dawn", 1, False],
        ["b.png", "dawn", 1, False],
        *([n, "pdn", 0.5, True] for n in ("a.png", "b.png")),
    ]


@pytest.mark.slow
def test_what_fails_is_said_and_the_others_go_on(browser: Any) -> None:
    from selenium.webdriver.common.by import By

    drop(browser, {"broken.jpg": b"broken", "night.png": _encoded()})
    wait_for(browser, "figure[data-state=failed] + figure[data-state=done]")
    text = browser.find_element(By.TAG_NAME, "body").text
    assert "not a <picture>" in text and "1 of 2 enhanced, 1 failed" in text
    browser.find_element(By.CLASS_NAME, "remove").click()
    assert len(browser.find_elements(By.TAG_NAME, "figure")) == 1
    assert browser.switch_to.active_element.get_attribute("aria-label") == "Remove night.png", "the keyboard stays near"
    assert "1 of 1 enhanced" in browser.find_element(By.ID, "status").text


@pytest.mark.slow
def test_a_picture_that_the_browser_does_not_show(browser: Any) -> None:
    drop(browser, {"night.tif": _encoded(".tiff")})
    wait_for(browser, "figure[data-state=done]")
    assert _middle(browser, 0.25) == (0, 0, 0) and _middle(browser, 0.75) == (200, 200, 200)
    assert browser.execute_script("return calls") == [["night.tif", "dawn", 1, False], ["night.tif", "dawn", 0, False]]


@pytest.mark.slow
def test_files_are_chosen_and_everything_is_reached_with_the_keyboard(browser: Any, tmp_path: Path) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    (tmp_path / "night.png").write_bytes(_encoded())
    browser.find_element(By.ID, "files").send_keys(str(tmp_path / "night.png"))
    wait_for(browser, "figure[data-state=done]")
    names: list[str] = []
    browser.find_element(By.ID, "network").send_keys("")
    for _ in range(7):
        names.append(browser.switch_to.active_element.accessible_name)
        ActionChains(browser).send_keys(Keys.TAB).perform()
    assert names == [
        "Network",
        "Strength",
        "Leave well-lit pictures alone",
        "Drop photographs here, or choose them",
        "How much of night.png is shown as it was before, in percent",
        "Download night.png, enhanced",
        "Remove night.png",
    ]
    for image in browser.find_elements(By.CSS_SELECTOR, "figure img"):
        assert image.get_attribute("alt").startswith("night.png, ")
