"""Plans built in a process of their own: a process builds for one flavour of TensorRT only."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]


def build_plan(onnx: Path, folder: Path, flavour: str, smallest: str, typical: str, largest: str) -> Path:
    """Build an exported file for shapes as NxHxW; return the plan."""
    command = [sys.executable, str(PROJECT / "engines" / "build.py"), str(onnx), "--out", str(folder), "--flavour", flavour]
    command += ["--min", smallest, "--opt", typical, "--max", largest]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return folder / f"{onnx.stem}.plan"
