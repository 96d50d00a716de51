"""Measures of what people see on photographs that are not LOL's: darkened ones, well-lit ones, films, several sizes.

Conventions:
- PSNR and SSIM as in `benchmarks.measures.quality`, over every pixel. CIEDE2000, hue and chroma over every second row and
  column, in CIELAB under D65.
- A pixel is coloured where the truth's chroma is at least 15. The hue error is the mean absolute angle there, of output
  and truth; the chroma ratio is the output's mean chroma there over the truth's. A picture counts from 2 % of coloured pixels.
- A black area is a square of 16x16 pixels whose brightest channel has a mean below 24 codes in the truth and deviates by
  less than 4. Noise is the standard deviation within areas over all kinds of darkened pictures, over that of gamma 1/2.2.
- Flicker is the mean absolute change of a pixel of the scene from frame to frame, over the film's mean level, of the output
  over that of the input. A scene that moves is shifted back first.
- Sizes: PSNR of the result at a larger size, averaged down, against the result at the smallest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.measures.plain_methods import gamma
from benchmarks.measures.quality import checked, psnr, ssim
from benchmarks.pictures.nights import FILMS, MEGAPIXELS, NIGHTS, night_of_size
from benchmarks.pictures.parity_set import spread
from runtime.errors import InputError
from train.pairs import Picture, read_picture

Enhance = Callable[[Picture], Picture]

_COLOURED, _COLOURED_SHARE = 15.0, 0.02
_AREA, _BLACK, _FLAT = 16, 24.0, 4.0
#: How many photographs, evenly spaced, films and sizes are made of.
_FILMED, _SIZED = 4, 2


@dataclass(frozen=True)
class Against:
    """An output against its truth. Hue and chroma are None where hardly anything is coloured."""

    psnr: float
    ssim: float
    ciede2000: float
    #: Degrees.
    hue: float | None
    chroma: float | None
    better_than_gamma: bool


@dataclass(frozen=True)
class Areas:
    """Black areas of one picture: how many, and sums over them."""

    count: int = 0
    #: Standard deviations within areas, and mean codes, of the output, of gamma's picture and of the truth.
    noise: float = 0.0
    gamma_noise: float = 0.0
    level: float = 0.0
    gamma_level: float = 0.0
    true_level: float = 0.0


def measure(enhance: Enhance, paths: Sequence[Path], tick: Iterable[Any] = ()) -> dict[str, Any]:
    """Every measure of one way to enhance, as it goes into a record. `tick` is advanced once per photograph."""
    ticks = iter(tick)
    against: dict[str, list[Against]] = {night.name: [] for night in NIGHTS}
    areas: list[Areas] = []
    well_lit: list[float] = []
    for seed, path in enumerate(paths):
        truth = read_picture(path)
        well_lit.append(psnr(checked(enhance, truth), truth))
        for night in NIGHTS:
            dark = night.of(truth, seed)
            output = checked(enhance, dark)
            against[night.name].append(compare(output, gamma(dark), truth))
            if night.light is not None:
                areas.append(black_areas(output, gamma(dark), truth))
        next(ticks, None)
    return {
        "nights": {name: summarise(found) for name, found in against.items()},
        "well_lit": {"psnr": float(np.mean(well_lit)), "least": min(well_lit)},
        "black": summarise_black(areas),
        "flicker": _flicker(enhance, spread(paths, _FILMED)),
        "sizes": _sizes(enhance, spread(paths, _SIZED)),
    }


def compare(output: Picture, by_gamma: Picture, truth: Picture) -> Against:
    """Score one output, and whether gamma's is further from the truth."""
    from skimage.color import deltaE_ciede2000

    found, true = (_lab(picture) for picture in (output, truth))
    hue, chroma = colour(found, true)
    score = psnr(output, truth)
    difference = float(np.mean(deltaE_ciede2000(found, true)))
    return Against(score, ssim(output, truth), difference, hue, chroma, score > psnr(by_gamma, truth))


def colour(output: NDArray[np.float64], truth: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Hue error in degrees and chroma ratio of two CIELAB pictures."""
    planes = [picture[..., 1] + 1j * picture[..., 2] for picture in (output, truth)]
    coloured = np.abs(planes[1]) >= _COLOURED
    if coloured.mean() < _COLOURED_SHARE:
        return None, None
    found, true = (plane[coloured] for plane in planes)
    hue = np.degrees(np.abs(np.angle(found * true.conj()))).mean()
    return float(hue), float(np.abs(found).mean() / np.abs(true).mean())


def black_areas(output: Picture, by_gamma: Picture, truth: Picture) -> Areas:
    """The black areas of one truth, and what became of them."""
    squares = _squares(truth)
    means, deviations = squares.mean(axis=1), squares.std(axis=1)
    chosen = (means.max(axis=-1) < _BLACK) & (deviations.max(axis=-1) < _FLAT)
    if not chosen.any():
        return Areas()
    found, other = _squares(output)[chosen], _squares(by_gamma)[chosen]
    noises = [float(each.std(axis=1).mean(axis=-1).sum()) for each in (found, other)]
    levels = [float(each.mean(axis=(1, 2)).sum()) for each in (found, other, squares[chosen])]
    return Areas(int(chosen.sum()), *noises, *levels)


def summarise(found: Sequence[Against]) -> dict[str, float | int | None]:
    """Means over pictures; the share that is better than gamma."""
    rows = [asdict(each) for each in found]
    means = {name: _mean([row[name] for row in rows]) for name in rows[0]}
    return {"pictures": len(rows), **means}


def summarise_black(found: Sequence[Areas]) -> dict[str, float | int | None]:
    """Noise over gamma's, and mean levels in codes; None where no photograph has a black area."""
    count, noise, gamma_noise, level, gamma_level, true_level = (
        sum(getattr(each, name) for each in found) for name in asdict(Areas())
    )
    return {
        "areas": count,
        "noise": noise / gamma_noise if gamma_noise else None,
        "level": level / count if count else None,
        "gamma_level": gamma_level / count if count else None,
        "true_level": true_level / count if count else None,
    }


def change(frames: Sequence[Picture], shift: int) -> float:
    """Mean absolute change from frame to frame over the mean level, of a scene that moves left by `shift` columns a frame."""
    film = np.stack(frames).astype(np.float32)
    before, after = film[:-1, :, shift:], film[1:, :, : film.shape[2] - shift]
    return float(np.abs(after - before).mean() / max(float(film.mean()), 1e-6))


def apart(enhance: Enhance, photograph: Picture, seed: int) -> dict[str, float | None]:
    """PSNR of each larger size against the smallest; None where the picture is refused as too large."""
    results: dict[float, Picture | None] = {}
    for megapixels in MEGAPIXELS:
        dark = night_of_size(photograph, megapixels, seed)
        try:
            results[megapixels] = checked(enhance, dark)
        except InputError:
            results[megapixels] = None
    small = results.pop(MEGAPIXELS[0])
    assert small is not None
    size = small.shape[1::-1]
    return {
        f"{megapixels:g}": None
        if result is None
        else psnr(cv2.resize(result, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False), small)
        for megapixels, result in results.items()
    }


def _flicker(enhance: Enhance, paths: Sequence[Path]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, (film, shift) in FILMS.items():
        ratios: list[float] = []
        for path in paths:
            frames = list(film(read_picture(path)))
            ratios.append(change([checked(enhance, frame) for frame in frames], shift) / change(frames, shift))
        found[name] = float(np.mean(ratios))
    return found


def _sizes(enhance: Enhance, paths: Sequence[Path]) -> Mapping[str, float | None]:
    found = [apart(enhance, read_picture(path), seed) for seed, path in enumerate(paths)]
    return {name: _mean([each[name] for each in found]) for name in found[0]}


def _lab(picture: Picture) -> NDArray[np.float64]:
    from skimage.color import rgb2lab

    return np.asarray(rgb2lab(picture[::2, ::2]), np.float64)


def _squares(picture: Picture) -> NDArray[np.float32]:
    """Squares x pixels x 3."""
    height, width = (side // _AREA for side in picture.shape[:2])
    whole = picture[: height * _AREA, : width * _AREA].astype(np.float32)
    parts = whole.reshape(height, _AREA, width, _AREA, 3).transpose(0, 2, 1, 3, 4)
    return parts.reshape(height * width, _AREA * _AREA, 3)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
