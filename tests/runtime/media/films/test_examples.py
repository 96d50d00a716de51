"""The examples of films, where what they are for is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.films import STEADY, packets, shown, write_film

ROOT = Path(__file__).resolve().parents[4]


def _through_ffmpeg(folder: Path, source: Path, target: Path, engine: Path) -> int:
    """The exit code of examples/ffmpeg_pipe.sh, with a `retinexrt` in a folder."""
    command = folder / "retinexrt"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m runtime "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    options = ["--engine", str(engine), "--backend", "onnxruntime", "--calm", "0"]
    words = ["bash", "examples/ffmpeg_pipe.sh", str(source), str(target), *options]
    return subprocess.run(words, cwd=ROOT, env={**os.environ, "PATH": path}, timeout=120).returncode


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="FFmpeg's programs are not installed")
@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_ffmpeg_before_and_behind(artifacts: Path, tmp_path: Path, rotation: int) -> None:
    source, target = write_film(tmp_path / "in.mp4", sound=True, rotation=rotation), tmp_path / "out.mp4"
    assert _through_ffmpeg(tmp_path, source, target, artifacts / "double.onnx") == 0
    found = shown(target).frames
    assert len(found) == 30 and abs(float(found[10].mean()) - 60) < 4
    assert found[0].shape == ((64, 48, 3) if rotation in (90, -90) else (48, 64, 3))
    assert packets(target, "audio")[0] == packets(source, "audio")[0]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="FFmpeg's programs are not installed")
def test_ffmpeg_fails_with_what_is_between(tmp_path: Path) -> None:
    source = write_film(tmp_path / "in.mp4", times=STEADY[:2])
    assert _through_ffmpeg(tmp_path, source, tmp_path / "out.mp4", tmp_path / "absent.onnx") == 2


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("vspipe") is None, reason="VapourSynth is not installed")
def test_vapoursynth(artifacts: Path) -> None:
    words = ["vspipe", "-a", f"network={artifacts / 'double.onnx'}", "-c", "y4m", "examples/enhance.vpy", "-"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, check=True, timeout=120)
    assert done.stdout.startswith(b"YUV4MPEG2 C420") and done.stdout.count(b"FRAME") == 10
    luma = np.frombuffer(done.stdout.rpartition(b"FRAME\n")[2], np.uint8)[: 64 * 48]
    # Twice as bright: R 40, G 80, B 120.
    assert np.allclose(luma, 16 + 219 / 255 * (0.299 * 40 + 0.587 * 80 + 0.114 * 120), atol=2)
