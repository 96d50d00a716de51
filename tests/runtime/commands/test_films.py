"""Films on the command line, in a process of its own where signals and pipes matter."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from runtime.commands.main import main
from tests.support.films import VARYING, grey, shown, write_film
from tests.support.processes import start


def _until(process: subprocess.Popen[Any], happened: Callable[[], bool]) -> None:
    while not happened():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "code", "word"), [(signal.SIGTERM, 143, "stopped"), (signal.SIGINT, 130, "interrupted")])
def test_a_film_that_is_stopped_leaves_what_was_done(
    engine: list[str], tmp_path: Path, number: signal.Signals, code: int, word: str
) -> None:
    frames = [np.random.default_rng(at).integers(0, 255, (240, 320, 3), np.uint8) for at in range(4)]
    times = [Fraction(at, 25) for at in range(400)]
    source = write_film(tmp_path / "in.mkv", frames * 100, times, codec="mpeg4", time_base=Fraction(1, 1000))
    process = start(["enhance", str(source), "-o", str(tmp_path / "out" / "film.mkv"), *engine])
    _until(process, lambda: any(path.stat().st_size for path in (tmp_path / "out").glob(".film.mkv.*")))
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    text = error.decode()
    assert f"{word}; what was finished is whole, and the " in text and "film.partial.mkv" in text and "Traceback" not in text
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["film.partial.mkv"]
    assert 0 < len(shown(tmp_path / "out" / "film.partial.mkv").frames) < 400


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_film_on_stdin(engine: list[str], tmp_path: Path, suffix: str) -> None:
    source = write_film(tmp_path / f"in{suffix}", times=VARYING)
    with source.open("rb") as file:
        process = start(["enhance", "-", "-o", str(tmp_path / "out.mp4"), *engine], stdin=subprocess.PIPE)
        _, error = process.communicate(file.read(), timeout=120)
    assert process.returncode == 0, error
    found = shown(tmp_path / "out.mp4").times
    assert [time - found[0] for time in found] == list(VARYING)


def test_an_animated_gif_becomes_a_film(engine: list[str], tmp_path: Path) -> None:
    write_film(tmp_path / "in" / "moving.gif", codec="gif", pixel_format="rgb8", time_base=Fraction(1, 100))
    assert main(["enhance", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *engine]) == 0
    assert len(shown(tmp_path / "out" / "moving.mp4").frames) == 30


def test_codec_and_quality_reach_the_film(engine: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = write_film(tmp_path / "in.mp4"), tmp_path / "out.mkv"
    assert main(["enhance", str(source), "-o", str(target), "--codec", "ffv1", *engine]) == 0
    with av.open(str(target)) as film:
        assert film.streams.video[0].codec_context.name == "ffv1"
    assert main(["enhance", str(source), "-o", str(target), "--quality", "0", *engine]) == 2
    assert "quality lies between 1 and 100, found 0" in capsys.readouterr().err


@pytest.mark.parametrize("live", [False, True])
def test_before_and_after_side_by_side_and_wiped(engine: list[str], tmp_path: Path, live: bool) -> None:
    source = write_film(tmp_path / "in.ts", [grey(0)] * 60, [Fraction(at, 10) for at in range(60)])
    given, out = source, tmp_path / "out.mp4"
    if live:
        given = tmp_path / "pipe"
        os.mkfifo(given)
        threading.Thread(target=lambda: given.write_bytes(source.read_bytes()), daemon=True).start()
    assert main(["enhance", str(given), "-o", str(out), "--side-by-side", *engine]) == 0
    found = shown(out).frames
    assert found[0].shape == (48, 128, 3)
    assert abs(found[0][:, :60].mean() - 20) < 3 and abs(found[0][:, 68:].mean() - 40) < 3
    if live:
        return
    assert main(["enhance", str(given), "-o", str(out), "--wipe", *engine]) == 0
    found = shown(out).frames
    assert abs(found[0].mean() - 20) < 3 and abs(found[40][:, :56].mean() - 40) < 3
    assert abs(found[20][:, :24].mean() - 40) < 4 and abs(found[20][:, 40:].mean() - 20) < 4
