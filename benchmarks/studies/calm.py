"""Calm films: noise, flicker and trails with `Film`, against every frame alone.

Films of 16 frames are made from photographs at 0.08 of their light: a still scene under strong noise, one whose exposure
jitters, one that the camera pans over, and one through which a thing moves (weak noise in all but the first). Reported are
the mean PSNR of the second half against the truth; flicker, the mean absolute change of a pixel of the scene from frame to
frame over the mean level, of the output over that of the input; of the thing that moves, the share of the past that is left
where it was a moment ago; and PSNR of the first frame after a cut. Then what it costs at 1088x1920.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.record import ROOT, Record
from benchmarks.measures.photographs import change
from benchmarks.measures.quality import psnr
from benchmarks.pictures.nights import NOISES, kept_photographs
from benchmarks.studies.study import Study
from runtime.calm.average import Average
from runtime.calm.film import Film
from runtime.calm.light import LightWindow
from runtime.enhancer import Enhancer
from runtime.images import Enhance, Images
from runtime.options import FILM_NETWORK
from runtime.tiling import overview_of
from train.nights import darken_plainly
from train.pairs import Picture, read_picture

_FRAMES, _LIGHT, _JITTER, _PAN, _SPEED = 16, 0.08, 0.1, 3, 4
_COST_SIZE, _COST_RUNS = (1088, 1920), 15


@dataclass(frozen=True)
class Scene:
    """A film: what is in front of the camera, the light and noise of each frame, and how far its scene moves to the left."""

    truth: Callable[[Picture, int], Picture]
    light: Callable[[int], float]
    noise: str
    shift: int = 0

    def frames(self, photograph: Picture) -> tuple[list[Picture], list[Picture]]:
        """Dark frames and their truths."""
        truths = [self.truth(photograph, frame) for frame in range(_FRAMES)]
        return truths, [
            darken_plainly(truth, self.light(frame), *NOISES[self.noise], np.random.default_rng([frame, 7]))
            for frame, truth in enumerate(truths)
        ]


def _still(photograph: Picture, frame: int) -> Picture:
    return photograph


def _panned(photograph: Picture, frame: int) -> Picture:
    width = photograph.shape[1] - _PAN * (_FRAMES - 1)
    return np.ascontiguousarray(photograph[:, frame * _PAN : frame * _PAN + width])


def thing_at(photograph: Picture, frame: int) -> tuple[slice, slice]:
    """Where the thing is: a quarter of the photograph's height and as wide."""
    side = photograph.shape[0] // 4
    left = side // 2 + _SPEED * frame
    return slice(side, 2 * side), slice(left, left + side)


def _with_thing(photograph: Picture, frame: int) -> Picture:
    result = photograph.copy()
    side = photograph.shape[0] // 4
    result[thing_at(photograph, frame)] = 255 - photograph[-side:, -side:]
    return result


def _even(frame: int) -> float:
    return _LIGHT


def _jittering(frame: int) -> float:
    return float(_LIGHT * np.exp(_JITTER * (-1) ** frame))


SCENES = {
    "still": Scene(_still, _even, "high"),
    "exposure": Scene(_still, _jittering, "low"),
    "pan": Scene(_panned, _even, "low", _PAN),
    "thing": Scene(_with_thing, _even, "low"),
}


def compare(enhancer: Enhance, scene: Scene, photograph: Picture) -> dict[str, float]:
    """One film, every frame alone and through `Film`."""
    truths, dark = scene.frames(photograph)
    film = Film(enhancer)
    found: dict[str, float] = {}
    for name, frames in (("alone", [enhancer(frame) for frame in dark]), ("calm", [film(frame) for frame in dark])):
        half = _FRAMES // 2
        found[f"psnr_{name}"] = float(np.mean([psnr(*pair) for pair in zip(frames[half:], truths[half:], strict=True)]))
        found[f"flicker_{name}"] = change(frames, scene.shift) / change(dark, scene.shift)
    return found


def trail(enhancer: Enhance, photograph: Picture) -> float:
    """The share left of a thing in the two frames after it was there, of how it differs from what is there now."""
    _, dark = SCENES["thing"].frames(photograph)
    film = Film(enhancer)
    calm = [film(frame) for frame in dark]
    now, past = (enhancer(dark[index]).astype(np.float32) for index in (-1, -3))
    rows, columns = thing_at(photograph, _FRAMES - 3)
    left = rows, slice(columns.start, columns.start + 2 * _SPEED)
    difference = (past - now)[left]
    return float(((calm[-1] - now)[left] * difference).sum() / np.square(difference).sum())


def cut(enhancer: Enhance, before: Picture, after: Picture) -> dict[str, float]:
    """PSNR of the first frame of another scene."""
    film = Film(enhancer)
    height, width = (min(sides) for sides in zip(before.shape[:2], after.shape[:2], strict=True))
    before, after = (np.ascontiguousarray(each[:height, :width]) for each in (before, after))
    for frame in SCENES["still"].frames(before)[1][:8]:
        film(frame)
    dark = SCENES["thing"].frames(after)[1][0]
    truth = _with_thing(after, 0)
    return {"alone": psnr(enhancer(dark), truth), "calm": psnr(film(dark), truth)}


def cost(enhancer: Enhancer) -> dict[str, float | None]:
    """Median milliseconds of processors that a frame of 1088x1920 takes more: for its light, and for the mean."""
    random = np.random.default_rng(0)
    scene = random.integers(20, 200, (_COST_SIZE[0] // 16, _COST_SIZE[1] // 16, 3), np.uint8).repeat(16, 0).repeat(16, 1)
    frames: list[Images] = [scene + random.integers(0, 8, scene.shape, np.uint8) for _ in range(2)]
    average, window = Average(), LightWindow()
    means: list[float] = []
    lights: list[float] = []
    for number in range(_COST_RUNS):
        frame = frames[number % 2]
        started = time.process_time()
        average.add(frame, frame)
        means.append(time.process_time() - started)
        if enhancer.info.parts is not None:
            started = time.process_time()
            side, overview = overview_of(frame, enhancer.info)
            shape = overview.shape[2] + 2, overview.shape[3] + 2
            light = [np.zeros((1, channels, *shape), np.float32) for channels in (4, 8)]
            window.add(overview, [*light, np.full((1, 1, 1, 1), float(side), np.float32)])
            lights.append(time.process_time() - started)
    return {"mean": 1000 * float(np.median(means)), "light": 1000 * float(np.median(lights)) if lights else None}


def figures(found: Record) -> str:
    """What docs/films.md says about calm films."""
    titles = {"still": "still, strong noise", "exposure": "exposure jitters", "pan": "pan", "thing": "a thing moves"}
    rows = ["|film|PSNR alone, dB|calm|flicker alone|calm|", "|---|---:|---:|---:|---:|"]
    for name, each in found.results["films"].items():
        values = f"{each['psnr_alone']:.2f}|{each['psnr_calm']:.2f}|{each['flicker_alone']:.3f}|{each['flicker_calm']:.3f}"
        rows.append(f"|{titles[name]}|{values}|")
    after, spent = found.results["cut"], found.results["cost"]
    light = "" if spent["light"] is None else f" and {spent['light']:.0f} for the light"
    return "\n".join(rows) + (
        f"\n\nMeans over films made of {found.configuration['photographs']} photographs, with "
        f"`{found.configuration['artifact']}`. Flicker is over that of the film that came in. Behind the thing that moves "
        f"{100 * max(found.results['trail'], 0.0):.1f} % of what was there is left. The first frame after a cut has "
        f"{after['calm']:.2f} dB, alone {after['alone']:.2f}. A frame of 1088x1920 takes {spent['mean']:.0f} ms of one "
        f"processor for the mean{light}. Measured by `{found.command}`."
    )


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", nargs="?", default=FILM_NETWORK, help="a network or an artifact (default: %(default)s)")
    parser.add_argument("--photographs", type=Path, required=True, metavar="DIR", help="folder of photographs in good light")
    parser.add_argument("--count", type=int, default=4, metavar="N", help="of how many films are made (default: 4)")


def measure(enhancer: Enhancer, photographs: Sequence[Picture]) -> dict[str, Any]:
    """Everything, as it goes into a record."""
    films = {name: [compare(enhancer, scene, each) for each in photographs] for name, scene in SCENES.items()}
    cuts = [cut(enhancer, one, other) for one, other in zip(photographs, [*photographs[1:], photographs[0]], strict=True)]
    return {
        "films": {name: _means(each) for name, each in films.items()},
        "trail": float(np.mean([trail(enhancer, each) for each in photographs])),
        "cut": _means(cuts),
        "cost": cost(enhancer),
    }


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _measure(arguments: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    paths = [pair.high for pair in kept_photographs(arguments.photographs, None)]
    count = min(arguments.count, len(paths))
    photographs = [read_picture(paths[index * len(paths) // count]) for index in range(count)]
    with Enhancer(arguments.network) as enhancer:
        source, info = Path(enhancer.source), enhancer.info
        configuration = {"artifact": source.name, "backend": enhancer.backend, "weights": info.weights_sha256}
        return {**configuration, "photographs": count}, measure(enhancer, photographs)


STUDY = Study("calm", ROOT / "docs" / "films.md", __doc__, _arguments, _measure, figures)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
