"""Time that the Enhancer adds to the bare backend.

The bare backend is ONNX Runtime's session with input and output bound to the same arrays. Both take turns in one process;
the ratio is taken within rounds. The cost of the wrapper alone is measured with a backend that does nothing, because it
is far below what can be seen beside a network on a CPU.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.record import ROOT, Record
from benchmarks.harness.timing import Ratio, Spread, ratio, spread, take_turns, timed, totals
from benchmarks.studies.study import Study
from runtime.artifact import locate


@dataclass(frozen=True)
class Overhead:
    """Milliseconds at one size; the wrapper alone in microseconds."""

    height: int
    width: int
    bare: Spread
    enhancer: Spread
    ratio: Ratio
    alone_us: Spread


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

    samples = take_turns([timed(bare), timed(lambda: enhancer(image, out=out))], rounds, repeats)
    bare_ms, wrapped_ms = (totals(turns) for turns in samples)
    alone = _alone(enhancer, image, out)
    return Overhead(height, width, _spread(bare_ms), _spread(wrapped_ms), ratio(wrapped_ms, bare_ms), alone)


def _spread(turns: list[list[float]]) -> Spread:
    return spread([value for turn in turns for value in turn])


def _alone(enhancer: Any, image: Any, out: Any) -> Spread:
    """Microseconds of a call whose backend does nothing."""

    class Nothing:
        device = "cpu"

        def run(self, images: Any, out: Any) -> None: ...

        def close(self) -> None: ...

    session, enhancer._session = enhancer._session, Nothing()
    run = timed(lambda: enhancer(image, out=out))
    values = [run().total * 1e3 for _ in range(2000)]
    enhancer._session = session
    return spread(values)


def figures(found: Record) -> str:
    """The paragraph of docs/runtime.md."""
    cost = found.results["overhead"]
    over, alone = cost["ratio"], cost["alone_us"]
    lines = [
        f"At {cost['height']}x{cost['width']} with `{found.configuration['artifact']}` the Enhancer takes {over['value']:.3f} "
        f"of the bare backend's time (95 % interval {over['low']:.3f} to {over['high']:.3f}; medians "
        f"{cost['enhancer']['p50']:.0f} and {cost['bare']['p50']:.0f} ms). With a backend that does nothing, a call costs "
        f"{alone['p50']:.1f} microseconds."
    ]
    load = found.environment.load
    busy = f", load {load}" if found.environment.busy else ""
    lines.append(f"Measured by `{found.command}` on {found.environment.cores} cores{busy}.")
    return "\n".join(lines)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", nargs="?", default="pdn", help="a network or an .onnx file (default: pdn)")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--repeats", type=int, default=2, help="samples of a turn")


def _measure(arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    path = locate.onnx_file(arguments.network)
    cost = measure_overhead(path, 400, 600, arguments.rounds, arguments.repeats)
    configuration = {"artifact": path.name, "rounds": arguments.rounds, "repeats": arguments.repeats}
    return configuration, {"overhead": cost}


STUDY = Study("overhead", ROOT / "docs" / "runtime.md", __doc__, _arguments, _measure, figures, "onnxruntime")

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
