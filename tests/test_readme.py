"""README.md's commands and Python run as they stand, in a folder with a dark photograph and a dark film."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.pictures.samples import sample_photographs

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    """Fenced blocks of a language; one marked `not run: reason` is left out."""
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like the project's, with night.jpg and drive.mp4 in it."""
    for name in ("export", "engines", "benchmarks", "runtime", "train", "retinexrt"):
        built = ("*.onnx", "*.plan", "*.json") if name == "engines" else ()
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", *built))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    photograph = sample_photographs()[0][1][::2, ::2, ::-1]
    assert cv2.imwrite(str(tmp_path / "night.jpg"), photograph)
    height, width = photograph.shape[0] // 2 * 2, photograph.shape[1] // 2 * 2
    film = cv2.VideoWriter(str(tmp_path / "drive.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (width, height))
    for _ in range(3):
        film.write(np.ascontiguousarray(photograph[:height, :width]))
    film.release()
    return tmp_path


def _run(command: list[str], folder: Path) -> str:
    scripts = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_commands(folder: Path) -> None:
    commands = [line.split("#")[0].strip() for block in _blocks("bash") for line in block.splitlines()]
    commands = [command for command in commands if command]
    assert len(commands) >= 7
    for command in commands:
        words = command.split()
        _run([sys.executable, *words[1:]] if words[0] == "python" else words, folder)
    assert (folder / "out" / "night.jpg").exists() and (folder / "out" / "drive.mp4").exists()
    assert (folder / "engines" / "pdn_fp16.plan").exists()


def test_python(folder: Path) -> None:
    (block,) = _blocks("python")
    assert "dawn" in _run([sys.executable, "-c", block], folder)


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        if "://" not in target:
            assert (ROOT / target).exists(), target
