"""Time of a call from C++, native and embedded, and from Python.

All run the same artifact, each in a process of its own, and take turns: on OpenVINO, and on ONNX Runtime where its headers are
found (onnxruntime_ROOT; see docs/cpp.md). A time is that of one call on memory that is already there, picture in to
picture out, measured inside of the process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.command import parse_size
from benchmarks.harness.record import ROOT, Record
from benchmarks.harness.tables import markdown
from benchmarks.harness.timing import Ratio, Sample, Spread, drift, ratio, spread, take_turns, totals, warm_up
from benchmarks.studies.study import Study
from runtime.artifact import locate
from runtime.errors import BackendError, BackendUnavailableError

#: Language and implementation, and the backend that it runs on. Each is compared with Python on the same backend.
CONTENDERS = {
    "python": "openvino",
    "native": "openvino",
    "embedded": "openvino",
    "python_onnxruntime": "onnxruntime",
    "native_onnxruntime": "onnxruntime",
}
_NAMES = {
    "python": "Python",
    "native": "C++, native",
    "embedded": "C++, embedded",
    "python_onnxruntime": "Python, ONNX Runtime",
    "native_onnxruntime": "C++, native, ONNX Runtime",
}


@dataclass(frozen=True)
class Row:
    """One contender at one size. Milliseconds."""

    #: Its name; the record has it under this key.
    way: str
    time: Spread
    #: Over Python's on the same backend, within rounds; None: it is Python.
    ratio: Ratio | None
    #: Median of the last third of the samples over that of the first, minus one.
    drift: float


@dataclass(frozen=True)
class Table:
    """One size."""

    height: int
    width: int
    rows: tuple[Row, ...]


def build() -> Path:
    """Compile the timers against this Python's packages, and return the folder with their programs."""
    folder = ROOT / "build" / "cpp-benchmark"
    cmake = ROOT / "runtime" / "cpp" / "cmake"
    _call(
        "cmake", "-S", str(ROOT / "examples" / "cpp"), "-B", str(folder),
        f"-Dretinexrt_DIR={cmake}", f"-DPython_EXECUTABLE={sys.executable}",
    )  # fmt: skip
    targets = ["timer_native", "timer_embedded"]
    if "timer_native_onnxruntime" in _call("cmake", "--build", str(folder), "--target", "help"):
        targets.append("timer_native_onnxruntime")
    else:
        print("ONNX Runtime's headers were not found: C++ on ONNX Runtime is left out")
    _call("cmake", "--build", str(folder), "--target", *targets)
    return folder


def _call(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BackendUnavailableError("CMake is needed; on Debian: apt-get install cmake g++") from error
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise BackendUnavailableError(f"the timer cannot be compiled: {lines[-1] if lines else command}")
    return done.stdout


@contextmanager
def timed(command: list[str], wanted: str) -> Generator[Callable[[], Sample]]:
    """A process that answers each line with the milliseconds of a call."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        questions, answers = process.stdin, process.stdout
        assert questions is not None and answers is not None
        backend = answers.readline().strip()
        if backend != wanted:
            process.kill()
            raise BackendError(f"the timer runs on {backend or 'nothing'}, expected {wanted}")

        def run() -> Sample:
            questions.write("\n")
            questions.flush()
            return Sample(float(answers.readline()))

        yield run
        questions.close()


def serve(artifact: str, height: int, width: int, backend: str) -> None:
    """The timer in Python: what examples/cpp/timer.cpp is in C++."""
    import numpy as np

    from runtime import Enhancer

    image = (np.arange(height * width * 3) * 7 % 61).astype(np.uint8).reshape(height, width, 3)
    out = np.empty_like(image)
    with Enhancer(artifact, backend=backend) as enhancer:
        sys.stdout.write(f"{enhancer.backend}\n")
        sys.stdout.flush()
        for _ in sys.stdin:
            start = time.perf_counter()
            enhancer(image, out=out)
            sys.stdout.write(f"{(time.perf_counter() - start) * 1e3}\n")
            sys.stdout.flush()


def measure(programs: Path, artifact: Path, height: int, width: int, rounds: int, repeats: int) -> Table:
    """Let all take turns at one size."""
    names = [name for name in CONTENDERS if "onnxruntime" not in name or (programs / "timer_native_onnxruntime").is_file()]
    with ExitStack() as stack:
        runs: list[Callable[[], Sample]] = []
        for name in names:
            start = (
                [sys.executable, "-m", "benchmarks.studies.cpp_calls", "--serve"]
                if name.startswith("python")
                else [str(programs / f"timer_{name}")]
            )
            command = [*start, str(artifact), str(height), str(width), CONTENDERS[name]]
            runs.append(stack.enter_context(timed(command, CONTENDERS[name])))
        for run in runs:
            warm_up(run, seconds=5.0)
        samples = take_turns(runs, rounds, repeats, pause=0.005)
    times = [totals(turns) for turns in samples]
    rows: list[Row] = []
    for i, name in enumerate(names):
        flat = [time for turn in times[i] for time in turn]
        python = next(j for j, other in enumerate(names) if CONTENDERS[other] == CONTENDERS[name])
        rows.append(Row(name, spread(flat), ratio(times[i], times[python]) if i != python else None, drift(flat)))
    return Table(height, width, tuple(rows))


def figures(found: Record) -> str:
    """The table of docs/cpp.md."""
    rows: list[list[str]] = []
    for table in found.results:
        for row in table["rows"]:
            over, time = row["ratio"], row["time"]
            ratios = [f"{over['value']:.2f}", f"{over['low']:.2f} to {over['high']:.2f}"] if over else ["1", ""]
            size = f"{table['height']}x{table['width']}"
            rows.append([size, _NAMES[row["way"]], f"{time['p50']:.2f}", f"{time['p90']:.2f}", *ratios])
    machine, how = found.environment, found.configuration
    load = f"; {machine.load:g} of them were busy, so the times are upper bounds" if machine.busy else ""
    versions = " and ".join(f"{name} {machine.packages.get(name, '')}" for name in how["backend"].split(", "))
    return (
        markdown(["picture", "called from", "p50, ms", "p90, ms", "time / Python", "95 % interval"], rows, left=2)
        + f"\n`{how['artifact']}` on {versions}, {machine.cores} cores, one call on memory that is there already{load}. "
        + f"Ratios are taken between neighbouring turns. Measured by `{found.command}`."
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", nargs="?", default="pdn", help="a network or an .onnx file (default: pdn)")
    parser.add_argument(
        "--size", type=parse_size, action="append", metavar="HxW", help="may be given again (default: 16x16, 400x600)"
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5, help="samples of a turn")


def _measure(arguments: argparse.Namespace) -> tuple[dict[str, Any], list[Table]]:
    artifact, programs = locate.onnx_file(arguments.network), build()
    sizes = arguments.size or [(16, 16), (400, 600)]
    tables = [measure(programs, artifact, height, width, arguments.rounds, arguments.repeats) for height, width in sizes]
    backends = dict.fromkeys(CONTENDERS[row.way] for row in tables[0].rows)
    how = {"rounds": arguments.rounds, "repeats": arguments.repeats}
    return {"artifact": artifact.name, "backend": ", ".join(backends), **how}, tables


STUDY = Study("cpp_calls", ROOT / "docs" / "cpp.md", __doc__, _arguments, _measure, figures, "cpu,openvino")

if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    else:
        raise SystemExit(STUDY.main())
