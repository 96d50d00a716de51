"""`python -m benchmarks.studies.gate --data DIR --record`: what the gate keeps, what it costs, and that it does not flicker.

On pairs (DIR holds low/ and high/ with files of equal stems, or LOL's pairs.csv, whose `val` split is taken): how far the
network moves pictures that are bright already, with and without the gate; and the score on the dark ones, with and
without. On a synthetic dusk to dawn, bright pictures darkened and brought back exponentially: the largest relative change
of mean brightness from frame to frame, over the input's own.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import record
from benchmarks.harness.marks import insert
from runtime.errors import InputError, RetinexError

if TYPE_CHECKING:
    from runtime.enhancer import Enhancer

Picture = NDArray[np.uint8]

PAGE = record.ROOT / "docs" / "runtime.md"
NAME = "gate"
#: The darkest exposure of the film, as a share of the bright picture's; frames from there back to the bright one.
_NIGHT, _FRAMES, _SCENES = 0.05, 90, 5


@dataclass(frozen=True)
class Bright:
    """PSNR of the output against the bright input; None stands for an output equal to it."""

    count: int
    untouched: int
    least: float | None
    below_30: int
    mean_without_gate: float


@dataclass(frozen=True)
class Dark:
    """Mean PSNR against the truth."""

    count: int
    with_gate: float
    without_gate: float


def psnr(output: Picture, truth: Picture) -> float:
    """In dB; infinite for equal pictures."""
    error = float(np.mean((output.astype(np.float64) - truth) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def pairs(folder: Path) -> list[tuple[Path, Path]]:
    """The dark and the bright file of each pair."""
    if (folder / "pairs.csv").is_file():
        with (folder / "pairs.csv").open() as file:
            rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
        return [(folder / row["low"], folder / row["high"]) for row in rows]
    bright = {path.stem: path for path in (folder / "high").glob("*.*")}
    found = [(path, bright[path.stem]) for path in sorted((folder / "low").glob("*.*")) if path.stem in bright]
    if not found:
        raise InputError(f"{folder} holds no pairs: low/NAME and high/NAME")
    return found


def measure_bright(enhancer: Enhancer, paths: Sequence[Path]) -> Bright:
    """Every bright picture through the network, with the gate and without."""
    from runtime.media import pictures

    images = [pictures.read(path).rgb for path in paths]
    gated = [psnr(enhancer(image, gate=True), image) for image in images]
    free = [psnr(enhancer(image), image) for image in images]
    touched = [value for value in gated if math.isfinite(value)]
    below = sum(value < 30 for value in touched)
    return Bright(len(images), len(gated) - len(touched), min(touched, default=None), below, float(np.mean(free)))


def measure_dark(enhancer: Enhancer, files: Sequence[tuple[Path, Path]]) -> Dark:
    """Every dark picture against its truth."""
    from runtime.media import pictures

    scores: list[tuple[float, float]] = []
    for low, high in files:
        dark, truth = pictures.read(low).rgb, pictures.read(high).rgb
        scores.append((psnr(enhancer(dark, gate=True), truth), psnr(enhancer(dark), truth)))
    with_gate, without = np.mean(scores, axis=0)
    return Dark(len(scores), float(with_gate), float(without))


def film(bright: Picture, frames: int = _FRAMES) -> Iterator[Picture]:
    """A night that turns into day: exposure grows by the same factor from frame to frame."""
    for exposure in np.geomspace(_NIGHT, 1.0, frames):
        yield np.rint(bright * exposure).astype(np.uint8)


def flicker(enhancer: Enhancer, bright: Picture, *, gate: bool) -> float:
    """Largest relative change of mean brightness between frames of the enhanced film, over that of the film."""
    means = np.array([(frame.mean(), enhancer(frame, gate=gate).mean()) for frame in film(bright)])
    before, after = np.abs(np.diff(means, axis=0) / means[:-1]).max(axis=0)
    return float(after / before)


def figures(found: record.Record) -> str:
    """What docs/runtime.md says about the gate."""
    bright, dark, steps = (found.results[key] for key in ("bright", "dark", "flicker"))
    least = "all" if bright["least"] is None else f"{bright['least']:.1f} dB for the one moved most"
    return (
        f"With `{found.configuration['artifact']}` on {bright['count']} bright pictures: {bright['untouched']} come back to "
        f"the byte, {least} (without the gate {bright['mean_without_gate']:.1f} dB on average). On {dark['count']} dark ones: "
        f"{dark['with_gate']:.2f} dB against the truth with the gate, {dark['without_gate']:.2f} without. On {len(steps)} "
        f"films from night to day the largest relative change of brightness between frames is at most {max(steps):.2f} times "
        f"the film's own. Measured by `{found.command}`."
    )


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", nargs="?", default="pdn", help="a network or an artifact (default: pdn)")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with pairs")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/gate.json and docs/runtime.md")
    arguments = parser.parse_args(argv)
    try:
        return _run(arguments)
    except RetinexError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _run(arguments: argparse.Namespace) -> int:
    from runtime.enhancer import Enhancer
    from runtime.media import pictures

    machine = record.environment()
    files = pairs(arguments.data)
    bright = sorted({high for _, high in files})
    with Enhancer(arguments.network) as enhancer:
        scenes = [pictures.read(bright[i]).rgb[::2, ::2] for i in np.linspace(0, len(bright) - 1, _SCENES).astype(int)]
        results = {
            "bright": measure_bright(enhancer, bright),
            "dark": measure_dark(enhancer, files),
            "flicker": [flicker(enhancer, scene, gate=True) for scene in scenes],
        }
        configuration = {
            "artifact": Path(enhancer.source).name, "backend": enhancer.backend, "weights": enhancer.info.weights_sha256
        }  # fmt: skip
    found = record.make(NAME, configuration, results, machine)
    print(figures(found))
    if arguments.record:
        print(record.write(found, NAME).name)
        insert(PAGE, NAME, figures(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
