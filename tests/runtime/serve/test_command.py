"""`retinexrt serve` as a process: how it starts, and how it ends."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.commands.main import main
from runtime.enhancer import Enhancer
from runtime.errors import GpuLostError
from runtime.media import pictures
from runtime.media.formats import LIMIT_OF_OPENCV, MOST_PIXELS
from runtime.media.pictures import Picture
from tests.support.server import ROOT, Running, start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_told_to(artifacts: Path, dark: NDArray[np.uint8], number: signal.Signals) -> None:
    server = start("--network", str(artifacts / "double.onnx"))
    assert server.process is not None
    assert server.enhance(pictures.encode(Picture(dark))).status == 200
    server.process.send_signal(number)
    _, said = server.process.communicate(timeout=30)
    assert (server.process.returncode, said) == (0, "")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command sets for its own process is not for those of other tests."""
    monkeypatch.setenv(LIMIT_OF_OPENCV, str(MOST_PIXELS))
    monkeypatch.setenv("OPENCV_LOG_LEVEL", "SILENT")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "70000"], "--port is 0 to 65535, found 70000"),
        (["--host", "no.such.host.example"], "cannot listen at no.such.host.example"),
        (["--network", "nonsense"], "no artifact of a network 'nonsense'"),
        (["--network", "dwan"], "did you mean dawn"),
        (["--network", "dawn", "--network", "DAWN"], "was named before"),
        (["--max-upload", "0"], "--max-upload is more than 0"),
        (["--max-pixels", "nan"], "--max-pixels is more than 0"),
        (["--queue", "-1"], "--queue is 0 or more"),
        (["--backend", "nonsense"], "nonsense"),
    ],
)
def test_what_cannot_be_served_is_one_line(words: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "0", *words]) == 2
    error = capfd.readouterr().err
    assert said in error and error.startswith("retinexrt: ") and error.count("\n") == 1


def test_the_page_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    options = {*re.findall(r"--[a-z-]+", capsys.readouterr().out)} - {"--help"}
    assert options == {*re.findall(r"--[a-z-]+", (ROOT / "docs" / "serve.md").read_text())} & options


@pytest.mark.parametrize(("host", "more"), [("127.0.0.1", 0), ("::1", 0), ("0.0.0.0", 1)])
def test_it_says_who_can_reach_it(artifacts: Path, host: str, more: int) -> None:
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        pytest.skip(f"there is no {host} here")
    server = start("--network", str(artifacts / "double.onnx"), "--host", host)
    assert server.process is not None and server.process.stdout is not None
    assert server.ask("GET", "/networks").status == 200
    server.process.terminate()
    said = server.process.stdout.read()
    server.process.communicate(timeout=30)
    assert said.count("\n") == more


def test_a_port_that_is_taken(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--port", str(taken.getsockname()[1])]) == 2
    assert "choose others with --host and --port" in capfd.readouterr().err


def test_it_ends_with_a_failure_when_the_gpu_is_lost(
    artifacts: Path, dark: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that whatever supervises it starts it again."""

    def lose(*images: object, **options: object) -> None:
        raise GpuLostError("the GPU fell off the bus")

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setattr(Enhancer, "__call__", lose)
    server, answers = Running(f"http://127.0.0.1:{port}/"), list[int]()

    def ask() -> None:
        with contextlib.suppress(ConnectionRefusedError):
            answers.append(server.enhance(pictures.encode(Picture(dark))).status)
        if not answers:
            threading.Timer(0.1, ask).start()

    ask()
    assert main(["serve", "--port", str(port), "--network", str(artifacts / "double.onnx")]) == 1
    assert answers == [500]


def test_without_its_extra() -> None:
    code = "import sys; sys.modules['uvicorn'] = None; from runtime.commands.main import entry; sys.exit(entry())"
    done = subprocess.run([sys.executable, "-c", code, "serve"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "retinexrt: uvicorn is missing; install it with: pip install 'retinexrt[serve,cpu]'\n"
