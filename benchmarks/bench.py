"""`make bench`: every measurement that this machine can make, their records and the pages. It takes hours.

Each step is a command that can also be typed, and runs in a process of its own; one that fails is named at the end.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time
from importlib.util import find_spec

from benchmarks.harness import record
from benchmarks.harness.contenders import KINDS, gpu_problem
from benchmarks.pictures.parity_set import COSTLY, data_folder
from runtime import command_line
from runtime.artifact import locate, remedies
from runtime.artifact.onnx_metadata import read_info
from runtime.errors import ArtifactError
from train.networks.registry import NETWORKS, get_spec

#: Alternatives to the Enhancer; those that are installed take part.
_OTHERS = ("torch", "torch-compile", "onnxruntime", "openvino")
#: The networks that the alternatives are timed with too.
_COMPARED = ("dawn", "dawn-live", "pdn")


#: The words of one command, without `python`.
Step = tuple[str, ...]


def steps(only: list[str] | None = None) -> list[Step]:
    """Everything to run, in order."""
    found = [name for name in NETWORKS if locate.find(f"{name}.onnx") and (only is None or name in only)]
    parity = [("benchmarks/parity.py", name, "--record") for name in found]
    planned = [*parity, *_latency(found), *_quality(found), *_photographs(found)]
    return [*planned, ("benchmarks/report.py",)] if planned else []


def _latency(found: list[str]) -> list[Step]:
    def step(engine: str, record: str, *more: str) -> Step:
        return "benchmarks/latency.py", "--engine", engine, *more, "--record", record

    others = ",".join(name for name in _OTHERS if find_spec(KINDS[name].package))
    planned: list[Step] = []
    for name in found:
        if name in _COMPARED and others:
            rounded = ",openvino-bf16,retinexrt-bf16" if find_spec("openvino") else ""
            planned.append(step(f"{name}.onnx", f"latency-{name}", "--against", others + rounded, "--mix"))
        elif name not in COSTLY:
            planned.append(step(f"{name}.onnx", f"latency-{name}", "--rounds", "6", "--repeats", "2"))
    plans = [name for name in found if locate.find(f"{name}_fp16.plan")] if gpu_problem() is None else []
    against = ("--against", "torch,torch-graph,torch-compile") if find_spec("torch") else ()
    return [*planned, *(step(f"{name}_fp16.plan", f"latency-{name}-gpu", *against) for name in plans)]


def _quality(found: list[str]) -> list[Step]:
    data = data_folder()
    if data is None or not (data / "LOL" / "pairs.csv").is_file():
        return []
    scored = [name for name in found if name not in COSTLY and _trained(name)]
    how = ("--data", str(data / "LOL"), "--split", "val", "--record")
    planned = [("benchmarks/quality.py", name, *how) for name in scored]
    rounded = [name for name in _COMPARED if name in scored and find_spec("openvino")]
    return [*planned, *(("benchmarks/quality.py", name, "--precision", "bf16", *how) for name in rounded)]


def _photographs(found: list[str]) -> list[Step]:
    data = data_folder()
    if data is None or not (data / "clean").is_dir():
        return []
    scored = ["gamma", "clahe", *(name for name in found if name not in COSTLY and _trained(name))]
    return [("benchmarks/quality.py", name, "--photographs", str(data / "clean"), "--record") for name in scored]


def _trained(name: str) -> bool:
    path = locate.find(f"{name}.onnx")
    return path is not None and read_info(path).trained


def typed(step: Step) -> str:
    """A step as it would be typed."""
    return shlex.join(["python", *step])


def run(step: Step) -> tuple[bool, float]:
    """Run a step, its output going where ours goes; whether it succeeded, and its seconds."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *step], cwd=record.ROOT, check=False)
    return done.returncode == 0, time.perf_counter() - started


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = command_line.Parser(
        prog="python -m benchmarks.bench", description="Measure what this machine can and write RESULTS.md."
    )
    parser.add_argument("networks", nargs="*", metavar="NAME", help="only these (default: every network that was exported)")
    parser.add_argument("--dry-run", action="store_true", help="print the commands and run none")
    return command_line.run(_run, parser, argv, "dev")


def _run(arguments: argparse.Namespace) -> int:
    for name in arguments.networks:
        get_spec(name)
    planned = steps(arguments.networks or None)
    if not planned:
        raise ArtifactError(f"nothing to measure: no network was exported; begin with: {remedies.export('pdn')}")
    if arguments.dry_run:
        print("\n".join(map(typed, planned)))
        return command_line.OK
    if (load := record.load()) is not None and load > 0.5 * (os.cpu_count() or 1):
        print("this machine is busy: times will be upper bounds, and the records say so", file=sys.stderr)
    failed: list[Step] = []
    for number, step in enumerate(planned, 1):
        print(f"[{number}/{len(planned)}] {typed(step)}", flush=True)
        succeeded, seconds = run(step)
        print(f"    {'done' if succeeded else 'FAILED'} in {seconds:.0f} s", flush=True)
        failed += [] if succeeded else [step]
    for step in failed:
        print(f"failed: {typed(step)}", file=sys.stderr)
    return command_line.SOME_FAILED if failed else command_line.OK


if __name__ == "__main__":
    sys.exit(main())
