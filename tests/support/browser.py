"""Headless Chromium for tests of pages, and a web server for their files."""

from __future__ import annotations

import base64
import io
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

#: Seconds for what takes a browser one or two on two quiet cores, such as to start ONNX Runtime or to enhance a frame.
PATIENCE = 200


class _Quiet(SimpleHTTPRequestHandler):
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".js": "text/javascript"}  # noqa: RUF012

    def log_message(self, *words: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder on a web server, which is gone afterwards."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


@contextmanager
def chromium(folder: Path, *flags: str) -> Iterator[Any]:
    """A browser with its profile in `folder`, and its downloads in folder/downloads; skips the test where there is none."""
    driver = shutil.which("chromedriver")
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    if driver is None or binary is None:
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"):
        options.add_argument(flag)
    options.add_argument("--disable-dev-shm-usage")
    options.add_argument("--force-color-profile=srgb")
    options.add_argument(f"--user-data-dir={folder / 'profile'}")
    options.add_argument("--window-size=1000,900")
    options.add_experimental_option("prefs", {"download.default_directory": str(folder / "downloads")})
    for flag in flags:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options, webdriver.ChromeService(driver))
    patience(opened, PATIENCE)
    try:
        yield opened
    finally:
        opened.quit()


def patience(browser: Any, seconds: float) -> None:
    """How long a script may take, and Selenium wait for the answer: by itself it gives up after two minutes."""
    browser.set_script_timeout(seconds)
    browser.command_executor.client_config.timeout = seconds + 20


def complaints(browser: Any) -> list[str]:
    """What the browser's console got of errors."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def screenshot(element: Any) -> NDArray[np.uint8]:
    """An element as it is seen, RGB."""
    image = cv2.imdecode(np.frombuffer(io.BytesIO(element.screenshot_as_png).getvalue(), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.ascontiguousarray(image[..., ::-1], np.uint8)


def wait_for(browser: Any, selector: str, seconds: float = PATIENCE) -> Any:
    """The first element that a CSS selector finds, once there is one."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(browser, seconds, 0.05).until(lambda opened: opened.find_elements(By.CSS_SELECTOR, selector))[0]


def drop(browser: Any, files: dict[str, bytes]) -> None:
    """Drop files on the page, by name, as a mouse does."""
    script = """
const held = new DataTransfer();
for (const [name, text] of Object.entries(arguments[0]))
  held.items.add(new File([Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0))], name));
for (const kind of ["dragover", "drop"])
  document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: held, bubbles: true, cancelable: true }));
"""
    browser.execute_script(script, {name: base64.b64encode(data).decode() for name, data in files.items()})
