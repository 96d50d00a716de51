"""`python benchmarks/scaling.py --engine pdn.onnx`: time and memory against pixels, batch and threads."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

if __package__ in (None, ""):  # run as a script: its folder is on the path, the project's is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.harness import memory, record, tables
from benchmarks.harness.contenders import Contender, check_plans, describe, find_engine, open_contender
from benchmarks.harness.timing import prepare_runtime
from runtime import command_line
from runtime.artifact import read_info
from runtime.tiling import limits

#: From 0.06 to 24 megapixels.
SIZES = ((200, 300), (400, 600), (720, 1280), (1080, 1920), (2160, 3840), (4000, 6000))
BATCHES = (1, 2, 4, 8, 16)
#: Of the pictures whose batch and threads grow.
_PICTURE = (400, 600)


@dataclass(frozen=True)
class Point:
    """One amount of work."""

    height: int
    width: int
    batch: int
    #: None: the library's choice.
    threads: int | None
    #: Median of a few runs, in milliseconds.
    milliseconds: float
    least: float
    #: Peak resident memory of the whole process.
    host_mb: float | None
    gpu_mb: float | None


def measure(path: Path, shapes: Sequence[tuple[int, int, int, int | None]], runs: int) -> list[Point]:
    """Time each (batch, height, width, threads), one after the other; large work gets fewer runs."""
    from tqdm import tqdm

    points: list[Point] = []
    for batch, height, width, threads in tqdm(shapes, unit="point", leave=False, disable=None, desc="measuring"):
        contender = Contender("retinexrt", str(path), height, width, batch, threads)
        opened = open_contender(contender)
        first = opened.run().total
        count = runs if first < 2000 else max(1, runs // 3)
        totals = [opened.run().total for _ in range(count)]
        opened.close()
        taken = memory.measure(contender, runs=1)
        host, gpu = (taken.host, taken.gpu) if taken else (None, None)
        points.append(Point(height, width, batch, threads, median(totals), min(totals), host, gpu))
    return points


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scaling.py", description="Time and memory against pixels, batch and threads.")
    parser.add_argument("--engine", type=Path, required=True, metavar="FILE", help=".onnx or .plan, as given or in engines/")
    parser.add_argument("--most", type=float, default=24.0, metavar="MP", help="largest picture in megapixels (default: 24)")
    parser.add_argument("--most-batch", type=int, default=BATCHES[-1], metavar="N", help="largest batch (default: 16)")
    parser.add_argument("--runs", type=int, default=7, metavar="N", help="per point; a third where one takes 2 s (default: 7)")
    parser.add_argument("--json", action="store_true", help="print the record instead of a table")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/scaling-NAME.json")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    prepare_runtime()
    return command_line.run(_run, _parser(), argv, "cpu,export")


def _run(arguments: argparse.Namespace) -> None:
    check_plans([arguments.engine])
    path = find_engine(arguments.engine)
    info = read_info(path)
    machine = record.environment()
    shapes = {
        "pixels": [(1, h, w, None) for h, w in SIZES if h * w <= arguments.most * 1e6],
        "batch": [(batch, *_PICTURE, None) for batch in BATCHES if batch <= arguments.most_batch],
        "threads": [(1, *_PICTURE, threads) for threads in range(1, machine.cores + 1)] if path.suffix == ".onnx" else [],
    }
    if path.suffix == ".plan":  # A plan has a profile; what lies outside would be tiled, and another thing measured.
        shapes = {axis: [shape for shape in wanted if limits(info).admit(shape[:3])] for axis, wanted in shapes.items()}
    points = {axis: measure(path, wanted, arguments.runs) for axis, wanted in shapes.items()}
    configuration = {
        "network": info.network,
        "trained": info.trained,
        "artifact": describe(Contender("retinexrt", str(path), *_PICTURE)),
        "runs": arguments.runs,
    }
    found = record.make("scaling", configuration, points, machine)
    print(record.to_text(found) if arguments.json else table(points), end="" if arguments.json else "\n")
    if arguments.record:
        print(record.write(found, f"scaling-{info.network}"), file=sys.stderr)


def table(points: dict[str, list[Point]]) -> str:
    """Every point, by what grew."""
    rows: list[list[str]] = []
    for axis, of in points.items():
        for point in of:
            megapixels = point.height * point.width * point.batch / 1e6
            row = [axis, f"{point.batch} x {point.height}x{point.width}", str(point.threads or "default")]
            row += [f"{point.milliseconds:.1f}", f"{point.milliseconds / megapixels:.0f}", tables.or_dash(point.host_mb, ".0f")]
            rows.append(row)
    return tables.text(["against", "pictures", "threads", "ms", "ms per megapixel", "MB"], rows)


if __name__ == "__main__":
    sys.exit(main())
