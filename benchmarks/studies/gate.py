"""The gate: what it keeps, what it costs, and that it does not flicker.

On pairs: how far the network moves pictures that are bright already, with and without the gate; and the score on the dark
ones, with and without. On a synthetic dusk to dawn, bright pictures darkened and brought back exponentially: the largest
relative change of mean brightness from frame to frame, over the input's own.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.harness.record import ROOT, Record
from benchmarks.measures.quality import Picture, psnr
from benchmarks.pictures.pairs import choose_split, find
from benchmarks.studies.study import Study
from train.pairs import Pair, read_picture

if TYPE_CHECKING:
    from runtime.enhancer import Enhancer

#: The darkest exposure of the film, as a share of the bright picture's; frames from there back to the bright one.
_NIGHT, _FRAMES, _SCENES = 0.05, 90, 5


@dataclass(frozen=True)
class Bright:
    """PSNR of the output against the bright input; None stands for an output equal to it."""

    count: int
    untouched: int
    least: float | None
    mean_without_gate: float


@dataclass(frozen=True)
class Dark:
    """Mean PSNR against the truth."""

    count: int
    with_gate: float
    without_gate: float


def measure_bright(enhancer: Enhancer, paths: Sequence[Path]) -> Bright:
    """Every bright picture through the network, with the gate and without."""
    images = [read_picture(path) for path in paths]
    gated = [psnr(enhancer(image, gate=True), image) for image in images]
    free = [psnr(enhancer(image), image) for image in images]
    touched = [value for value in gated if math.isfinite(value)]
    return Bright(len(images), len(gated) - len(touched), min(touched, default=None), float(np.mean(free)))


def measure_dark(enhancer: Enhancer, pairs: Sequence[Pair]) -> Dark:
    """Every dark picture against its truth."""
    scores: list[tuple[float, float]] = []
    for pair in pairs:
        assert pair.low is not None
        dark, truth = read_picture(pair.low), read_picture(pair.high)
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


def figures(found: Record) -> str:
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


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", nargs="?", default="pdn", help="a network or an artifact (default: pdn)")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of pairs")


def _measure(arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    from runtime.enhancer import Enhancer

    pairs = find(arguments.data, choose_split(arguments.data, None))
    bright = sorted({pair.high for pair in pairs})
    with Enhancer(arguments.network) as enhancer:
        scenes = [read_picture(bright[i])[::2, ::2] for i in np.linspace(0, len(bright) - 1, _SCENES).astype(int)]
        results = {
            "bright": measure_bright(enhancer, bright),
            "dark": measure_dark(enhancer, pairs),
            "flicker": [flicker(enhancer, scene, gate=True) for scene in scenes],
        }
        source, info = Path(enhancer.source), enhancer.info
        return {"artifact": source.name, "backend": enhancer.backend, "weights": info.weights_sha256}, results


STUDY = Study("gate", ROOT / "docs" / "runtime.md", __doc__, _arguments, _measure, figures)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
