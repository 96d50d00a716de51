"""Time that the Enhancer adds to the bare backend, and memory that a large photograph needs.

The bare backend is ONNX Runtime's session with input and output bound to the same arrays. Both take turns in one process;
the ratio is taken within rounds. The cost of the wrapper alone is measured with a backend that does nothing, because it
is far below what can be seen beside a network on a CPU.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import record
from benchmarks.harness.marks import insert
from benchmarks.harness.timing import Ratio, Sample, Spread, ratio, spread, take_turns
from runtime.artifact import locate
from runtime.errors import RetinexError

PAGE = record.ROOT / "docs" / "runtime.md"
NAME = "wrapper"
_PHOTOGRAPH = (4000, 6000)


@dataclass(frozen=True)
class Overhead:
    """Milliseconds at one size; the wrapper alone in microseconds."""

    height: int
    width: int
    bare: Spread
    enhancer: Spread
    ratio: Ratio
    alone_us: Spread


@dataclass(frozen=True)
class Photograph:
    """A large picture through the Enhancer, in a process of its own."""

    height: int
    width: int
    backend: str
    #: Of the whole process, Python and libraries included.
    peak_mb: int
    seconds: float


def measure_overhead(path: Path, height: int, width: int, rounds: int, repeats: int) -> Overhead:
    """Bare ONNX Runtime and the Enhancer, taking turns."""
    import numpy as np
    import onnxruntime as ort

    from runtime.enhancer import Enhancer

    random = np.random.default_rng(0)
    image = random.integers(0, 60, (height, width, 3), dtype=np.uint8)
    out = np.empty_like(image)
    shape = (1, *image.shape)
    enhancer = Enhancer(path, backend="onnxruntime")
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def bare() -> None:
        binding = session.io_binding()
        binding.bind_input("image", "cpu", 0, np.uint8, shape, image.ctypes.data)
        binding.bind_output("enhanced", "cpu", 0, np.uint8, shape, out.ctypes.data)
        session.run_with_iobinding(binding)

    samples = take_turns([_timed(bare), _timed(lambda: enhancer(image, out=out))], rounds, repeats)
    bare_ms, wrapped_ms = ([[sample.total for sample in turn] for turn in turns] for turns in samples)
    alone = _alone(enhancer, image, out)
    return Overhead(height, width, _spread(bare_ms), _spread(wrapped_ms), ratio(wrapped_ms, bare_ms), alone)


def _timed(call: Callable[[], object]) -> Callable[[], Sample]:
    def run() -> Sample:
        start = time.perf_counter()
        call()
        return Sample((time.perf_counter() - start) * 1e3)

    return run


def _spread(turns: list[list[float]]) -> Spread:
    return spread([value for turn in turns for value in turn])


def _alone(enhancer: Any, image: Any, out: Any) -> Spread:
    """Microseconds of a call whose backend does nothing."""

    class Nothing:
        device = "cpu"

        def run(self, images: Any, out: Any) -> None: ...

        def close(self) -> None: ...

    session, enhancer._session = enhancer._session, Nothing()
    run = _timed(lambda: enhancer(image, out=out))
    values = [run().total * 1e3 for _ in range(2000)]
    enhancer._session = session
    return spread(values)


_CHILD = """
import re, sys, time
from pathlib import Path
import numpy as np
from runtime import Enhancer
enhancer = Enhancer(sys.argv[1], backend=sys.argv[2])
image = np.random.default_rng(0).integers(0, 60, (int(sys.argv[3]), int(sys.argv[4]), 3), dtype=np.uint8)
out = np.empty_like(image)
start = time.perf_counter()
enhancer(image, out=out)
seconds = time.perf_counter() - start
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024, seconds)
"""


def measure_photograph(path: Path, backend: str) -> Photograph:
    """Peak memory of a process that enhances 24 megapixels. Linux: the rusage of a child would count its parent too."""
    height, width = _PHOTOGRAPH
    command = [sys.executable, "-c", _CHILD, str(path), backend, str(height), str(width)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PAGE.parents[1])
    if done.returncode:
        raise RetinexError(f"the measuring process failed: {done.stderr.strip().splitlines()[-1:]}")
    peak, seconds = done.stdout.split()
    return Photograph(height, width, backend, int(peak), float(seconds))


def figures(found: record.Record) -> str:
    """What docs/runtime.md says about the wrapper."""
    cost, photographs = found.results["overhead"], found.results["photographs"]
    over, alone = cost["ratio"], cost["alone_us"]
    lines = [
        f"At {cost['height']}x{cost['width']} with `{found.configuration['artifact']}` the Enhancer takes {over['value']:.3f} "
        f"of the bare backend's time (95 % interval {over['low']:.3f} to {over['high']:.3f}; medians "
        f"{cost['enhancer']['p50']:.0f} and {cost['bare']['p50']:.0f} ms). With a backend that does nothing, a call costs "
        f"{alone['p50']:.1f} microseconds."
    ]
    lines += [
        f"A photograph of {one['height'] * one['width'] / 1e6:.0f} megapixels needs {one['peak_mb']:,} MB at most with "
        f"{one['backend']}, the whole process counted."
        for one in photographs
    ]
    load = found.environment.load
    busy = f", load {load}" if found.environment.busy else ""
    lines.append(f"Measured by `{found.command}` on {found.environment.cores} cores{busy}.")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", nargs="?", default="pdn", help="a network or an .onnx file (default: pdn)")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--repeats", type=int, default=2, help="samples of a turn")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/wrapper.json and docs/runtime.md")
    arguments = parser.parse_args(argv)
    try:
        return _run(arguments)
    except RetinexError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _run(arguments: argparse.Namespace) -> int:
    path = locate.onnx_file(arguments.network)
    machine = record.environment()
    cost = measure_overhead(path, 400, 600, arguments.rounds, arguments.repeats)
    photographs = [measure_photograph(path, backend) for backend in ("onnxruntime", "openvino")]
    configuration = {"artifact": path.name, "rounds": arguments.rounds, "repeats": arguments.repeats}
    found = record.make(NAME, configuration, {"overhead": cost, "photographs": photographs}, machine)
    print(figures(found))
    if arguments.record:
        print(record.write(found, NAME).name)
        insert(PAGE, NAME, figures(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
