"""Pictures a second of films, H.264 in and H.264 out, all in, and the memory that takes.

Beside the command stand decoding and encoding alone, which is the floor, and the loop that is written around an Enhancer
with OpenCV's VideoCapture and VideoWriter. Each runs in a process of its own, rounds take turns, and the best of a
contender's rounds counts. A film four times as long shows whether memory grows.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.harness import films
from benchmarks.harness.command import parse_count, parse_size
from benchmarks.harness.record import ROOT, Record
from benchmarks.studies.study import Study
from runtime.options import FILM_NETWORK

_TITLES = {
    "floor": "decoding and encoding alone",
    "opencv": "an OpenCV loop around Enhancer",
    "retinexrt": "`retinexrt enhance`",
}


def measure_size(folder: Path, height: int, width: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Every contender on a film of one size."""
    source = folder / f"{height}x{width}.mp4"
    films.make_film(source, height, width, arguments.frames)
    base = films.Request("", str(source), str(folder / "out.mp4"), arguments.network, None, arguments.threads)
    requests = [replace(base, contender="floor")]
    for precision in arguments.precision.split(","):
        requests += [replace(base, contender=name, precision=precision) for name in ("opencv", "retinexrt")]
        requests.append(replace(base, contender="retinexrt", precision=precision, calm=1.0))
    outcomes: list[list[films.Outcome]] = [[] for _ in requests]
    for _ in range(arguments.rounds):
        for request, found in zip(requests, outcomes, strict=True):
            found.append(films.measure(request))
    return [
        {
            "height": height,
            "width": width,
            "contender": request.contender,
            "precision": request.precision,
            "calm": request.calm,
            "rate": round(max(one.rate for one in found), 2),
            "peak_mb": round(max(one.peak_mb for one in found)),
        }
        for request, found in zip(requests, outcomes, strict=True)
    ]


def measure_memory(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Peaks of a film and of one four times as long, of the smallest size, calm as the command makes them."""
    height, width = min(arguments.size)
    peaks: list[int] = []
    for times in (1, 4):
        source = folder / f"long{times}.mp4"
        films.make_film(source, height, width, times * arguments.frames)
        request = films.Request(
            "retinexrt", str(source), str(folder / "out.mp4"), arguments.network, threads=arguments.threads, calm=1.0
        )
        peaks.append(round(films.measure(request).peak_mb))
    return {"frames": [arguments.frames, 4 * arguments.frames], "peak_mb": peaks}


def figures(found: Record) -> str:
    """The table of docs/films.md."""
    lines = ["|film|done by|pictures/s|peak, MB|", "|---|---|---:|---:|"]
    for one in found.results["films"]:
        how = f", {one['precision']}" if one["precision"] else ""
        calm = "" if one["contender"] != "retinexrt" else ", calm" if one["calm"] else ", `--calm 0`"
        title = f"{_TITLES[one['contender']]}{how}{calm}"
        lines.append(f"|{one['height']}x{one['width']}|{title}|{one['rate']:.1f}|{one['peak_mb']:,}|")
    memory, load = found.results["memory"], found.environment.load
    busy = f", load {load}" if found.environment.busy else ""
    lines += [
        "",
        f"With `{found.configuration['network']}`, the best of {found.configuration['rounds']} rounds. A film of "
        f"{memory['frames'][0]} frames needs {memory['peak_mb'][0]:,} MB, one of {memory['frames'][1]} frames "
        f"{memory['peak_mb'][1]:,} MB. Measured by `{found.command}` on {found.environment.cores} cores{busy}.",
    ]
    return "\n".join(lines)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", nargs="?", default=FILM_NETWORK, help="a network (default: %(default)s)")
    parser.add_argument("--size", type=parse_size, nargs="+", default=[(1088, 1920), (480, 640)], metavar="HxW")
    parser.add_argument("--precision", default="fp32,bf16", help="of convolutions, with commas (default: %(default)s)")
    parser.add_argument("--frames", type=parse_count, default=150, help="of the film (default: %(default)s)")
    parser.add_argument("--rounds", type=parse_count, default=3)
    parser.add_argument("--threads", type=parse_count, help="CPU threads of the network (default: the backend decides)")


def _measure(arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = [row for height, width in arguments.size for row in measure_size(folder, height, width, arguments)]
        memory = measure_memory(folder, arguments)
    configuration = {name: getattr(arguments, name) for name in ("network", "frames", "rounds", "threads", "precision")}
    return configuration, {"films": sizes, "memory": memory}


STUDY = Study("films", ROOT / "docs" / "films.md", __doc__, _arguments, _measure, figures, "cpu,quality")

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
