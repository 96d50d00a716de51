"""Pictures that parity is measured on: dark photographs, and synthetic ones that break networks.

No size is that of the export's example; sizes are odd, minimal and batched.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from runtime.errors import InputError
from runtime.images import Images
from train.pairs import EXTENSIONS, listed_pairs, read_picture

Kind = Literal["photograph", "hard"]

#: Height and width that photographs are cropped to: room for every network's padding, and none of its multiples.
PHOTOGRAPH = (397, 595)
#: Networks that need trillions of operations per photograph: seconds to minutes on a CPU. Theirs are small and few.
COSTLY = ("dsn", "dsn-reverse")
SMALL = (97, 131)
#: Rows and columns of the made-up photographs before cropping.
_SCENE = (400, 600)


@dataclass(frozen=True)
class Case:
    """One batch of pictures, N x H x W x 3."""

    name: str
    kind: Kind
    images: Images


def default_cases(name: str, size: tuple[int, int] | None = None, count: int | None = None) -> list[Case]:
    """The project's pictures for a network, photographs and hard ones."""
    costly = name in COSTLY
    chosen = size or (SMALL if costly else PHOTOGRAPH)
    return [*photographs(count or (3 if costly else 6), chosen, data_folder()), *hard_cases()]


def hard_cases() -> list[Case]:
    """Black, one code, white, noise, one bright pixel: at the smallest size, at an odd one and in a batch."""
    random = np.random.default_rng(11)
    shape = (1, 37, 53, 3)
    spark = np.zeros(shape, np.uint8)
    spark[0, 18, 26] = 255
    return [
        Case("black", "hard", np.zeros(shape, np.uint8)),
        Case("one code", "hard", np.ones(shape, np.uint8)),
        Case("white", "hard", np.full(shape, 255, np.uint8)),
        Case("noise", "hard", random.integers(0, 256, shape, dtype=np.uint8)),
        Case("dark noise, smallest size", "hard", random.integers(0, 6, (1, 16, 16, 3), dtype=np.uint8)),
        Case("dark noise, batch", "hard", random.integers(0, 6, (3, 45, 62, 3), dtype=np.uint8)),
        Case("one bright pixel", "hard", spark),
    ]


def photographs(count: int, size: tuple[int, int], data: Path | None) -> list[Case]:
    """`count` dark photographs, each cropped to at most `size` about its centre, and a batch of two crops.

    From LOL/ (its validation scenes) and unpaired/ of the data folder, alternately; made up where there is no such folder.
    """
    pictures = _real(count, data) if data is not None else [(f"made-up {i}", made_up_photograph(i)) for i in range(count)]
    cases = [Case(name, "photograph", _crop(picture, size)[None]) for name, picture in pictures]
    height, width = (max(16, side // 3) for side in size)
    pair = [_crop(picture, (height, width)) for _, picture in pictures[:2]]
    if len(pair) == 2 and pair[0].shape == pair[1].shape:
        cases.append(Case("batch of two", "photograph", np.stack(pair)))
    return cases


def data_folder() -> Path | None:
    """The folder of photographs that RETINEXRT_DATA names, if it is there."""
    folder = os.environ.get("RETINEXRT_DATA")
    return Path(folder) if folder and Path(folder).is_dir() else None


def made_up_photograph(seed: int) -> Images:
    """A smooth scene with edges, texture and a lamp, darkened and given the noise of few photons; H x W x 3."""
    random = np.random.default_rng(seed)
    height, width = _SCENE
    coarse = random.random((6, 9, 3), dtype=np.float32)
    scene = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(25):
        x, y = int(random.integers(0, width)), int(random.integers(0, height))
        far = (x + int(random.integers(10, 160)), y + int(random.integers(10, 160)))
        cv2.rectangle(scene, (x, y), far, random.random(3).tolist(), -1)
    scene += random.normal(0.0, 0.03, scene.shape).astype(np.float32)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    lamp = np.exp(-((rows - random.uniform(0, height)) ** 2 + (columns - random.uniform(0, width)) ** 2) / 9000.0)
    light = 0.02 + 0.08 * random.random() + 0.6 * lamp[..., None]
    photons = random.poisson(np.clip(scene, 0.0, 1.0) * light * 400.0)
    return np.clip(np.rint(photons / 400.0 * 255.0), 0, 255).astype(np.uint8)


def _real(count: int, data: Path) -> list[tuple[str, Images]]:
    """`count` photographs, spread over what the two folders hold."""
    listed = listed_pairs(data / "LOL", "val") if (data / "LOL" / "pairs.csv").is_file() else []
    paired = [pair.low for pair in listed if pair.low is not None]
    unpaired = sorted(path for path in (data / "unpaired").rglob("*") if path.suffix.lower() in EXTENSIONS)
    half = (count + 1) // 2 if unpaired else count
    chosen = [*spread(paired, half), *spread(unpaired, count - min(half, len(paired)))]
    if not chosen:
        raise InputError(f"RETINEXRT_DATA names {data}, which holds no photographs: expected LOL/pairs.csv or unpaired/")
    pictures: list[tuple[str, Images]] = []
    for path in chosen:
        pictures.append((f"{path.parent.parent.name}/{path.parent.name}/{path.name}", read_picture(path)))
    return pictures


def spread(paths: Sequence[Path], count: int) -> list[Path]:
    """`count` of them, evenly spaced."""
    if count >= len(paths):
        return list(paths)
    return [paths[i * len(paths) // count] for i in range(count)]


def _crop(picture: Images, size: tuple[int, int]) -> Images:
    height, width = (min(side, limit) for side, limit in zip(picture.shape[:2], size, strict=True))
    y, x = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return np.ascontiguousarray(picture[y : y + height, x : x + width])
