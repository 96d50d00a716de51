"""`make gpu`: everything that needs an NVIDIA GPU, in one record.

It runs the GPU tests, builds and runs every plan whose flavour supports the card, compares each network with FP32 on the
CPU, and times it against ONNX Runtime CUDA and torch. It installs nothing: a missing package is recorded with its error
message. Every step is a process of its own with a limit, so one crash doesn't stop the rest, and the record is written
after every step.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

if __package__ in (None, ""):  # run as a script: its folder is on the path, the project's is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.gpu_step import BACKENDS, TORCH
from benchmarks.harness import command, record
from benchmarks.harness.record import ROOT
from benchmarks.pictures.parity_set import COSTLY
from runtime import command_line, shapes
from runtime.backends import get_backend
from runtime.cuda import driver_found
from runtime.errors import BackendUnavailableError
from train.networks.registry import NETWORKS as REGISTERED
from train.networks.registry import get_spec

_ENGINES, _SHIPPED = ROOT / "engines", ROOT / "runtime" / "models"

#: All of the registry; the costly ones last, so that a short budget still measures most of them.
NETWORKS = tuple(sorted(REGISTERED, key=lambda name: name in COSTLY))
FLAVOURS = tuple(name for name in BACKENDS if name.startswith("tensorrt"))
#: Shapes that a plan has to hold: the pictures of the comparison, from the smallest to the batches.
_PROFILE = ("--min", "1x16x16", "--max", "4x512x640")
#: Last lines kept of a step that failed; of the tests enough for every traceback.
_LINES, _LINES_OF_TESTS = 12, 400


@dataclass(frozen=True)
class Step:
    """One process."""

    name: str
    command: tuple[str, ...]
    #: Seconds it may take.
    limit: float
    network: str = ""
    #: Names of steps without which this one has nothing to work on.
    needs: tuple[str, ...] = ()
    #: Written by the step, read into the record.
    result: Path | None = None
    lines: int = _LINES


#: Starts a step, and ends its group when the process that wants it is gone, even killed.
_GUARD = """
import os, signal, subprocess, sys, threading, time
wanted = int(sys.argv[1])
def watch():
    while os.getppid() == wanted:
        time.sleep(0.2)
    os.killpg(0, signal.SIGKILL)
threading.Thread(target=watch, daemon=True).start()
code = subprocess.call(sys.argv[2:])
sys.exit(code if code >= 0 else 128 - code)
"""

Status = Literal["ok", "failed", "timed out", "no time left", "needs another step"]


@dataclass(frozen=True)
class Outcome:
    """The result of a step, or why it has none."""

    name: str
    network: str
    status: Status
    seconds: float
    result: Any = None
    #: The last lines of a step that failed, or that has no other result.
    words: tuple[str, ...] = field(default=())


def steps(networks: Sequence[str], size: str, work: Path, flavours: Sequence[str] = FLAVOURS) -> Iterator[Step]:
    """All steps: the tests, then the runtime's backends, torch, and at last what torch compiles, which takes longest.

    Tests of CUDA run under NVIDIA's memory checker too, where it is on the PATH. Of flavours that are not among `flavours`, the
    first network's plan is tried.
    """
    python = sys.executable
    tests = (python, "-m", "pytest", "-q", "-rsfE", "-m", "gpu", "-p", "no:cacheprovider", "tests/gpu")
    yield Step("tests", tests, 420, lines=_LINES_OF_TESTS)
    if sanitizer := shutil.which("compute-sanitizer"):  # of the CUDA toolkit
        checked = (sanitizer, "--tool", "memcheck", "--error-exitcode", "1", *tests[:-1], "tests/gpu/test_cuda.py")
        yield Step("memory check", checked, 120, lines=_LINES_OF_TESTS)
    planned = list(_of_networks(networks, size, work, flavours))
    yield from sorted(planned, key=lambda step: 2 if step.name.endswith("torch-compile") else ": torch" in step.name)


def _exported(network: str) -> tuple[Path, Path]:
    """The ONNX files in FP32 and FP16: those in engines/, else those that are shipped, else where an export puts them."""
    names = (f"{network}.onnx", f"{network}_fp16.onnx")
    for folder in (_ENGINES, _SHIPPED):
        if all((folder / name).is_file() for name in names):
            return folder / names[0], folder / names[1]
    return _ENGINES / names[0], _ENGINES / names[1]


def _of_networks(networks: Sequence[str], size: str, work: Path, flavours: Sequence[str]) -> Iterator[Step]:
    python = sys.executable
    for network in networks:
        exported = _exported(network)
        export = f"{network}: export"
        needs: tuple[str, ...] = ()
        if not all(path.is_file() for path in exported):
            yield Step(export, (python, "export/to_onnx.py", network), 240, network)
            needs = (export,)
        yield from _of_network(network, size, work, needs, FLAVOURS if network == networks[0] else flavours)


def _of_network(network: str, size: str, work: Path, needs: tuple[str, ...], flavours: Sequence[str]) -> Iterator[Step]:
    def step(name: str, kind: str, limit: float, needs: tuple[str, ...], artifact: Path, contender: str | None = None) -> Step:
        result = work / (re.sub(r"\W+", "-", name) + ".json")
        command = [sys.executable, "-m", "benchmarks.gpu_step", kind, "--result", str(result), "--network", network]
        command += ["--work", str(work), "--size", size, "--artifact", str(artifact)]
        command += ["--contender", contender] if contender else []
        return Step(name, tuple(command), limit, network, needs, result)

    reference = f"{network}: reference"
    full, typed = _exported(network)
    yield step(reference, "reference", 240, needs, full)
    for flavour in flavours:
        out, built = work / flavour, f"{network}: build with {flavour}"
        command = (sys.executable, "engines/build.py", str(typed), "--flavour", flavour, "--out", str(out))
        # Of dawn three plans: its halves too.
        yield Step(built, (*command, *_PROFILE, "--opt", f"1x{size}"), 400, network, needs)
        plan = out / f"{network}_fp16.plan"
        yield step(f"{network}: {flavour}", "measure", 120, (reference, built), plan, flavour)
        if flavour == "tensorrt_rtx":
            yield step(f"{network}: TensorRT-RTX's own words", "words", 60, (built,), plan)
    yield step(f"{network}: onnxruntime-cuda", "measure", 120, (reference,), typed, "onnxruntime-cuda")
    for contender in TORCH:
        yield step(f"{network}: {contender}", "measure", 180, (reference,), typed, contender)


def run(step: Step, seconds_left: float) -> Outcome:
    """Run a step in a group of processes of its own; at its limit, and with this process, the whole of it is killed."""
    outcome = Outcome(step.name, step.network, "ok", 0.0)
    limit = min(step.limit, seconds_left)
    if limit < 5:
        return replace(outcome, status="no time left")
    started = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        command = (sys.executable, "-c", _GUARD, str(os.getpid()), *step.command)
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, process_group=0)
        code = None
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            pass
        finally:  # Also where this process is told to end: what it leaves would disturb whoever uses the GPU next.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        seconds = round(time.monotonic() - started, 1)
        output.seek(0)
        lines = tuple(_clean(line) for line in output.read().splitlines() if line.strip())[-step.lines :]
    if code is None:
        return replace(outcome, status="timed out", seconds=seconds, words=lines)
    if code != 0:
        return replace(outcome, status="failed", seconds=seconds, words=lines)
    found = json.loads(step.result.read_text()) if step.result is not None else None
    return replace(outcome, seconds=seconds, result=found, words=() if step.result is not None else lines)


def _clean(line: str) -> str:
    """Words without colours and without this machine's paths."""
    line = re.sub(r"\x1b\[[0-9;]*m", "", line)
    for private in (str(ROOT), str(Path.home()), tempfile.gettempdir()):
        if len(private) > 1:
            line = line.replace(f"{private}/", "")
    line = re.sub(r"\btmp\w{8}/", "", line)
    return line[:400]


def run_all(planned: Sequence[Step], minutes: float, save: Callable[[Sequence[Outcome]], object]) -> list[Outcome]:
    """Run as many steps as the budget allows, and save after each; steps that need one that failed are left out."""
    ends = time.monotonic() + minutes * 60
    outcomes: dict[str, Outcome] = {}
    for step in planned:
        if any(name in outcomes and outcomes[name].status != "ok" for name in step.needs):
            outcome = Outcome(step.name, step.network, "needs another step", 0.0)
        else:
            outcome = run(step, ends - time.monotonic())
        outcomes[step.name] = outcome
        save(list(outcomes.values()))
        print(f"{outcome.status:<20}{outcome.seconds:>7.1f} s  {step.name}{_headline(outcome)}", flush=True)
    return list(outcomes.values())


def _headline(outcome: Outcome) -> str:
    if outcome.status == "failed" and outcome.words:
        return f": {outcome.words[-1]}"
    row: dict[str, Any] = (outcome.result or {}).get("row", {})
    if not row:
        return ""
    return f": {row['computing']['p50']:.3f} ms on the GPU, {row['total']['p50']:.3f} ms with transfers (medians)"


def _parser() -> command_line.Parser:
    parser = command_line.Parser(
        prog="python benchmarks/gpu.py", description="Everything that needs an NVIDIA GPU, in one record."
    )
    parser.add_argument("--minutes", type=float, default=30.0, metavar="M", help="budget for all steps (default: 30)")
    parser.add_argument("--networks", default=",".join(NETWORKS), metavar="LIST", help="comma-separated (default: all)")
    parser.add_argument("--size", type=command.parse_size, default=(400, 600), metavar="HxW", help="timed (default: 400x600)")
    parser.add_argument("--out", type=Path, default=record.RESULTS, metavar="DIR", help="default: benchmarks/results/")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    return command_line.run(_run, _parser(), argv, "gpu,export")


def _run(arguments: argparse.Namespace) -> int:
    networks = tuple(arguments.networks.split(","))
    for name in networks:
        get_spec(name)
    if not driver_found():
        raise BackendUnavailableError("there is no NVIDIA driver here; run this on a machine with an NVIDIA GPU")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # and so through `finally`
    environment = record.environment()
    gpu = environment.gpus[0]["name"] if environment.gpus else "gpu"
    size = shapes.to_text(arguments.size)
    configuration = {"networks": networks, "size": size, "minutes": arguments.minutes, "gpu": gpu}

    def save(outcomes: Sequence[Outcome]) -> Path:
        found = record.make("gpu", configuration, [asdict(outcome) for outcome in outcomes], environment)
        return record.write(found, f"gpu-{re.sub(r'[^a-z0-9]+', '-', gpu.lower()).strip('-')}", arguments.out)

    usable = [flavour for flavour in FLAVOURS if get_backend(flavour).probe().usable]
    with tempfile.TemporaryDirectory() as work:
        outcomes = run_all(list(steps(networks, size, Path(work), usable)), arguments.minutes, save)
    print(save(outcomes))
    return 0 if outcomes[0].status == "ok" else 1


if __name__ == "__main__":
    sys.exit(main())
