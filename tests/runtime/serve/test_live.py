"""The live view of `retinexrt serve`: a stream on loopback, before and after, for programs and in a real browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from runtime.commands.main import main
from runtime.enhancer import Enhancer
from runtime.options import OpenOptions
from runtime.serve import live
from runtime.serve.application import application
from runtime.serve.limits import Limits
from runtime.serve.live import Live
from runtime.serve.networks import Networks
from tests.support.browser import chromium, complaints, screenshot, wait_for
from tests.support.live import HEIGHT, WIDTH, HttpServer, until
from tests.support.server import Running, serving, serving_here


@pytest.fixture
def camera() -> Iterator[str]:
    with HttpServer() as server:
        yield f"http://127.0.0.1:{server.port}/live.ts"


def frames(server: Running, which: str, count: int) -> list[float]:
    """The mean levels of as many frames of an endless answer."""
    connection = server.connect()
    connection.request("GET", f"/live/{which}.mjpg")
    answer = connection.getresponse()
    assert answer.status == 200
    kind, _, boundary = (answer.getheader("content-type") or "").partition("; boundary=")
    assert kind == "multipart/x-mixed-replace"
    data, found = b"", list[float]()
    while len(found) < count:
        data += answer.read1(65536)
        *parts, data = data.split(f"--{boundary}\r\n".encode())
        for part in parts:
            if part:
                head, _, jpeg = part.partition(b"\r\n\r\n")
                assert head == b"Content-Type: image/jpeg"
                image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
                assert image is not None and image.shape == (HEIGHT, WIDTH, 3)
                found.append(float(image.mean()))
    connection.close()
    return found


@pytest.mark.slow
def test_a_stream_is_seen_before_and_after_and_ends_with_the_server(artifacts: Path, camera: str, tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    with serving("--network", str(artifacts / "double.onnx"), "--live", camera) as server:
        before, after = frames(server, "before", 5), frames(server, "after", 5)
        assert all(15 <= level <= 105 for level in before) and len(set(before)) > 1
        assert all(35 <= level <= 205 for level in after)
        assert after[0] > 1.5 * before[0]
        assert b'href="live"' in server.ask("GET", "/").content
        with chromium(tmp_path) as browser:
            browser.get(f"{server.address}live")
            shown = wait_for(browser, ".pair")
            until(lambda: browser.find_element(By.ID, "status").text == "")
            slider = browser.find_element(By.CSS_SELECTOR, ".pair input")
            slider.send_keys(*[Keys.ARROW_LEFT] * 20)
            seen = screenshot(shown).mean(axis=(0, 2))
            edge = int(0.3 * len(seen))
            assert seen[edge + 10 : -10].mean() > 1.5 * seen[10 : edge - 10].mean()
            assert not complaints(browser)
            assert server.process is not None
            began = time.monotonic()
            server.process.terminate()
            assert server.process.wait(30) == 0
            assert time.monotonic() - began < 8  # ten seconds are what those who still watch would be waited for


def test_too_many_watchers_are_refused_and_the_end_is_told(
    artifacts: Path, camera: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST", 1)
    view = Live(camera, Enhancer(artifacts / "double.onnx"))
    app = application(Networks([str(artifacts / "double.onnx")], OpenOptions()), Limits(), live=view)
    with serving_here(app, Limits()) as server:
        connection = server.connect()
        connection.request("GET", "/live/after.mjpg")
        assert connection.getresponse().read1(20).startswith(b"--frame")
        refused = server.ask("GET", "/live/before.mjpg")
        assert (refused.status, refused.error) == (429, "too many watch already; try again later")
        connection.close()
        until(lambda: view_is_free(server))
        view.close()
        until(lambda: server.ask("GET", "/live/before.mjpg").status == 503)


def view_is_free(server: Running) -> bool:
    connection: Any = server.connect()
    connection.request("GET", "/live/after.mjpg")
    status = connection.getresponse().status
    connection.close()
    return status == 200


@pytest.mark.parametrize(
    ("source", "said"),
    [("film.mp4", "--live takes a camera or a stream"), ("/dev/video77", "/dev/video77 does not exist")],
)
def test_what_cannot_be_shown_is_one_line(source: str, said: str, artifacts: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "0", "--network", str(artifacts / "double.onnx"), "--live", source]) == 2
    assert said in capfd.readouterr().err


def test_without_a_source_there_is_no_live_view(artifacts: Path) -> None:
    with serving_here(application(Networks([str(artifacts / "double.onnx")], OpenOptions()), Limits()), Limits()) as server:
        assert server.ask("GET", "/live").status == 404
        assert b"live" not in server.ask("GET", "/").content
