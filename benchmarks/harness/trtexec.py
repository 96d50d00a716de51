"""NVIDIA's own measurement of a plan, where its tool `trtexec` is on the PATH: the same plan, in the same minute."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import timing
from runtime import shapes
from runtime.artifact import ArtifactInfo

_TIMEOUT = 120.0


@dataclass(frozen=True)
class Trtexec:
    """Its figures in milliseconds, or why there are none."""

    computing: timing.Spread | None = None
    latency: timing.Spread | None = None
    enqueue: timing.Spread | None = None
    problem: str = ""


def measure(plan: Path, info: ArtifactInfo, shape: Sequence[int]) -> Trtexec | None:
    """Let it time a plan; None where there is no trtexec, or the artifact is no plan of TensorRT's."""
    tool = shutil.which("trtexec")
    if tool is None or info.plan is None or info.plan.flavour != "tensorrt":
        return None
    with tempfile.TemporaryDirectory() as folder:
        times = Path(folder, "times.json")
        command = [
            tool,
            f"--loadEngine={plan}",
            f"--shapes={info.input.name}:{shapes.to_text(shape)}",
            "--useCudaGraph",
            "--warmUp=500",
            "--duration=3",
            f"--exportTimes={times}",
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT)
        except (OSError, subprocess.TimeoutExpired) as error:
            return Trtexec(problem=type(error).__name__)
        if done.returncode != 0 or not times.is_file():
            errors = [line for line in (done.stdout + done.stderr).splitlines() if "[E]" in line]
            return Trtexec(problem=errors[0].partition("[E]")[2].strip() if errors else f"exit code {done.returncode}")
        return _parse(times.read_text())


def _parse(text: str) -> Trtexec:
    try:
        runs = json.loads(text)
        return Trtexec(
            computing=timing.spread([run["computeMs"] for run in runs]),
            latency=timing.spread([run["latencyMs"] for run in runs]),
            enqueue=timing.spread([run["endEnqMs"] - run["startEnqMs"] for run in runs]),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return Trtexec(problem=f"its times can't be read ({type(error).__name__}: {error})")
