"""Memory that one picture needs at 12, 24 and 100 megapixels: arrays through the Enhancer, JPEG files on the command line, and
PPM files through the C++ example without Python, which is built for it.

Each is a process of its own, whose resident memory at its largest is counted whole: Python, libraries, weights, the picture
and the result. The JPEG file is one that a camera held upright: it is turned when it is read.
"""

from __future__ import annotations

import argparse
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.harness import memory, record
from benchmarks.harness.command import parse_size
from benchmarks.harness.record import ROOT, Record
from benchmarks.harness.tables import markdown, or_dash
from benchmarks.studies.study import Study
from runtime.artifact import locate
from runtime.errors import BackendUnavailableError, InputError
from runtime.images import Images

#: Height and width of photographs of 12, 24 and 100 megapixels.
SIZES = ((3000, 4000), (4000, 6000), (8736, 11648))

#: Megabytes that a picture of up to so many megapixels may need.
LIMITS = {12: 1024, 24: 2048, 102: 2048}

WAYS = {"enhancer": "Enhancer, array to array", "command": "command line, JPEG to JPEG", "cpp": "C++, PPM to PPM"}

_ENHANCE = """
import sys
import numpy as np
from runtime import Enhancer
source, backend, height, width = sys.argv[1:]
image = np.tile(np.arange(3 * int(width), dtype=np.uint8).reshape(-1, 3) % 61, (int(height), 1, 1))
with Enhancer(source, backend=backend) as enhancer:
    enhancer(image)
"""


@dataclass(frozen=True)
class Point:
    """One picture in one way."""

    height: int
    width: int
    way: str
    peak_mb: int

    @property
    def limit_mb(self) -> int | None:
        """The limit for a picture of this size; None: there is none."""
        return next((limit for most, limit in LIMITS.items() if self.height * self.width <= most * 1e6), None)


def build_example(backend: str, folder: Path) -> Path:
    """The C++ example that enhances one picture, compiled into `folder`. BackendUnavailableError: why it cannot be."""
    source = ROOT / "examples" / "cpp"
    if backend != "openvino":
        raise BackendUnavailableError("the C++ example is measured on openvino alone")
    if not source.is_dir():
        raise BackendUnavailableError("the C++ examples are not installed here")
    if missing := [name for name in ("cmake", "c++") if shutil.which(name) is None]:
        raise BackendUnavailableError(f"the C++ example cannot be compiled without {' and '.join(missing)}")
    packages = (f"-DPython_EXECUTABLE={sys.executable}", f"-Dretinexrt_DIR={ROOT / 'runtime' / 'cpp' / 'cmake'}")
    target = "enhance_native"
    for command in (["cmake", "-S", source, "-B", folder, *packages], ["cmake", "--build", folder, "--target", target]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = ([line for line in (done.stdout + done.stderr).splitlines() if line.strip()] or [""])[-1]
            raise BackendUnavailableError(f"the C++ example could not be compiled: {last.strip()}")
    return folder / target


def measure(artifact: Path, backend: str, size: tuple[int, int], way: str, folder: Path, example: Path | None = None) -> Point:
    """Enhance a picture in a fresh process. `folder` is for the files, `example` the C++ program."""
    height, width = size
    if way == "enhancer":
        command = [sys.executable, "-c", _ENHANCE, str(artifact), backend, str(height), str(width)]
    elif way == "cpp":
        source = folder / "in.ppm"
        source.write_bytes(b"P6\n%d %d\n255\n" % (width, height) + _picture(height, width).tobytes())
        command = [str(example), str(artifact), str(source), str(folder / "out.ppm")]
    else:
        source, out = folder / "in.jpg", folder / "out.jpg"
        source.write_bytes(_held_upright(_picture(width, height)))
        command = [sys.executable, "-m", "runtime", "enhance", str(source), "-o", str(out), "-q"]
        command += ["--engine", str(artifact), "--backend", backend]
    return Point(height, width, way, round(memory.peak_of(command)))


def _picture(height: int, width: int) -> Images:
    """Dark, smooth and noisy at once."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 70, (height // 64 + 2, width // 64 + 2, 3), dtype=np.uint8)
    noise = np.tile(random.integers(0, 10, (512, 512, 3), dtype=np.uint8), (height // 512 + 1, width // 512 + 1, 1))
    return cv2.add(cv2.resize(coarse, (width, height)), noise[:height, :width]).astype(np.uint8)


def _held_upright(image: Images) -> bytes:
    """A JPEG file whose EXIF data says that it must be turned by a quarter."""
    tag, short, turned = 0x0112, 3, 6
    tags = b"II*\0" + struct.pack("<IHHHIII", 8, 1, tag, short, 1, turned, 0)
    exif = 0
    _, data = cv2.imencodeWithMetadata(".jpg", image, [exif], [np.frombuffer(tags, np.uint8)])
    return data.tobytes()


def figures(found: Record) -> str:
    """The table of docs/runtime.md."""
    points = [Point(**point) for point in found.results]
    ways = [way for way in WAYS if any(point.way == way for point in points)]
    rows: list[list[str]] = []
    for height, width in dict.fromkeys((point.height, point.width) for point in points):
        peaks = {point.way: point.peak_mb for point in points if (point.height, point.width) == (height, width)}
        limit = Point(height, width, "", 0).limit_mb
        rows.append([f"{height * width / 1e6:.0f}", *(or_dash(peaks.get(way), ",") for way in ways), or_dash(limit, ",")])
    how = found.configuration
    absent = "".join(f" {WAYS[way]}, was left out: {reason}." for way, reason in how.get("left_out", {}).items())
    earlier = "".join(f", and before by `{command}`" for command in how.get("earlier", []))
    return (
        markdown(["megapixels", *(f"{WAYS[way]}, MB" for way in ways), "at most"], rows)
        + f"\n`{how['artifact']}` on {how['backend']}, {found.environment.cores} cores; resident memory of the whole process "
        + f"at its largest.{absent} Measured by `{found.command}`{earlier}."
    )


def add(points: Iterable[Point], earlier: record.Record, artifact: str, backend: str) -> list[Point]:
    """What was measured, and what an earlier record holds besides; of both, what was measured now."""
    how = earlier.configuration
    if (how["artifact"], how["backend"]) != (artifact, backend):
        raise InputError(f"--add: the record is of {how['artifact']} on {how['backend']}, not of {artifact} on {backend}")
    found = {(each.height, each.width, each.way): each for each in (Point(**point) for point in earlier.results)}
    found |= {(each.height, each.width, each.way): each for each in points}
    return sorted(found.values(), key=lambda each: (each.height * each.width, list(WAYS).index(each.way)))


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", nargs="?", default="dawn", help="a network or an .onnx file (default: dawn)")
    parser.add_argument("--backend", default="openvino", help="default: openvino")
    parser.add_argument("--size", type=parse_size, action="append", metavar="HxW", help="may be given again")
    parser.add_argument("--way", choices=tuple(WAYS), action="append", help="may be given again (default: all)")
    parser.add_argument("--add", action="store_true", help="to what the record holds of other sizes and ways")


def _measure(arguments: argparse.Namespace) -> tuple[Mapping[str, Any], Sequence[Point]]:
    artifact = locate.onnx_file(arguments.network)
    how: dict[str, Any] = {"artifact": artifact.name, "backend": arguments.backend}
    earlier = record.read(record.RESULTS / "sizes.json") if arguments.add else None
    if earlier is not None:
        add([], earlier, artifact.name, arguments.backend)  # refuses before anything is measured
    ways: list[str] = arguments.way or list(WAYS)
    example: Path | None = None
    with tempfile.TemporaryDirectory() as folder:
        if "cpp" in ways:
            try:
                example = build_example(arguments.backend, Path(folder, "build"))
            except BackendUnavailableError as error:
                print(f"left out: {error}", file=sys.stderr)
                how["left_out"] = {"cpp": str(error)}
                ways = [way for way in ways if way != "cpp"]
        measured: list[Point] = []
        for size in arguments.size or SIZES:
            for way in ways:
                point = measure(artifact, arguments.backend, size, way, Path(folder), example)
                print(f"{size[0]}x{size[1]}, {WAYS[way]}: {point.peak_mb:,} MB", file=sys.stderr)
                measured.append(point)
    if earlier is None:
        return how, measured
    how["earlier"] = list(dict.fromkeys([*earlier.configuration.get("earlier", []), earlier.command]))
    return how, add(measured, earlier, artifact.name, arguments.backend)


STUDY = Study("sizes", ROOT / "docs" / "runtime.md", __doc__, _arguments, _measure, figures, "cpu")

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
