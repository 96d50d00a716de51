"""Pairs of a dark and a bright picture: found on disk, decoded once, cut into batches.

Known layouts of a folder:
- `pairs.csv` with the columns low, high and split (paths relative to the folder; split is train or val; no bright
  picture may be in both);
- `our485/low` and `our485/high`, as LOL is distributed; its test pictures, `eval15`, are neither trained on nor used to
  choose among networks;
- `low` and `high` with files of equal names, whatever their extensions;
- normal photographs directly in the folder: their dark halves are synthesised (`train.darkening`).
In the last three the final twelfth of the sorted names is the validation split: never a random draw, because
neighbouring names often show the same scene. Earlier pairs whose bright file is the same as one of these join them.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runtime.files import sha256
from train.errors import DataError

Picture = NDArray[np.uint8]
Split = Literal["train", "val"]

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
LAYOUTS = "expected pairs.csv, our485/low and our485/high, low and high, or photographs"
VALIDATION_PART = 12


@dataclass(frozen=True)
class Pair:
    """Paths of one pair; `low` is None where the dark picture is to be synthesised."""

    low: Path | None
    high: Path

    @property
    def name(self) -> str:
        return (self.low or self.high).stem


def find_pairs(folder: Path, split: Split) -> list[Pair]:
    """List the pairs of one split, in the order of their names."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; {LAYOUTS}")
    if (folder / "pairs.csv").is_file():
        pairs = listed_pairs(folder, split)
    elif (folder / "our485").is_dir():
        pairs = _part(match_names(folder / "our485" / "low", folder / "our485" / "high"), split)
    elif (folder / "low").is_dir() and (folder / "high").is_dir():
        pairs = _part(match_names(folder / "low", folder / "high"), split)
    else:
        pairs = _part([Pair(None, path) for path in pictures_in(folder)], split)
    if not pairs:
        raise DataError(f"{folder} holds no picture of the split {split!r}; {LAYOUTS}")
    return pairs


def find_photographs(folder: Path, split: Split) -> list[Pair]:
    """List the photographs of a folder that are darkened for training, or every tenth, which is kept from it."""
    every = [Pair(None, path) for path in pictures_in(folder)]
    if len(every) < 10:
        raise DataError(f"{folder} holds {len(every)} photographs, expected at least 10")
    return [pair for index, pair in enumerate(every) if (index % 10 == 0) == (split == "val")]


def pictures_in(folder: Path) -> list[Path]:
    """The picture files directly in a folder, by name (numbers in numerical order)."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder")
    return sorted((path for path in folder.iterdir() if path.suffix.lower() in EXTENSIONS), key=_natural)


def match_names(low: Path, high: Path) -> list[Pair]:
    """Pair the files of two folders by their names without extension; a file without its counterpart is an error."""
    dark, bright = ({path.stem: path for path in pictures_in(folder)} for folder in (low, high))
    alone = sorted(dark.keys() ^ bright.keys())
    if alone:
        side, other = (low, high) if alone[0] in dark else (high, low)
        raise DataError(f"{side / alone[0]} has no counterpart in {other} ({len(alone)} unpaired in all); remove or add files")
    return [Pair(dark[name], bright[name]) for name in sorted(dark, key=lambda stem: _natural(dark[stem]))]


def read_picture(path: Path) -> Picture:
    """Decode a file to H x W x 3 RGB."""
    import cv2

    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    image = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    if image is None:
        raise DataError(f"{path} is not a picture or is damaged; remove or replace it")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


class PairStore:
    """Decodes pairs when they are first asked for and keeps them, up to a limit of memory. Safe to use from threads."""

    def __init__(self, pairs: list[Pair], limit_bytes: int = 4 << 30) -> None:
        self.pairs = pairs
        self._limit = limit_bytes
        self._kept: dict[Path, Picture] = {}
        self._bytes = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[Picture | None, Picture]:
        """The dark (None: to be synthesised) and the bright picture of one pair, of equal sizes."""
        pair = self.pairs[index]
        high = self._read(pair.high)
        low = None if pair.low is None else self._read(pair.low)
        if low is not None and low.shape != high.shape:
            raise DataError(f"{pair.low} is {_size(low)}, its counterpart {pair.high} is {_size(high)}; sizes must be equal")
        return low, high

    def _read(self, path: Path) -> Picture:
        with self._lock:
            kept = self._kept.get(path)
        if kept is not None:
            return kept
        image = read_picture(path)
        with self._lock:
            if path not in self._kept and self._bytes + image.nbytes <= self._limit:
                self._kept[path] = image
                self._bytes += image.nbytes
        return image


def listed_pairs(folder: Path, split: str | None) -> list[Pair]:
    """The pairs of pairs.csv: those of one split, or all."""
    table = folder / "pairs.csv"
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"low", "high", "split"} <= rows[0].keys():
        raise DataError(f"{table} needs the columns low, high and split, and at least one row")
    bright = {each: {row["high"] for row in rows if row["split"] == each} for each in ("train", "val")}
    if shared := bright["train"] & bright["val"]:
        raise DataError(f"{table} has {min(shared)} in both train and val; keep the pairs of a bright picture on one side")
    pairs = [Pair(folder / row["low"], folder / row["high"]) for row in rows if split in (None, row["split"])]
    for pair in pairs:
        for path in (pair.low, pair.high):
            if path is not None and not path.is_file():
                raise DataError(f"{table} names {path}, which does not exist")
    return pairs


def _part(pairs: list[Pair], split: Split) -> list[Pair]:
    count = max(1, len(pairs) // VALIDATION_PART) if len(pairs) > 1 else 0
    early, last = pairs[: len(pairs) - count], pairs[len(pairs) - count :]
    sizes = {pair.high.stat().st_size for pair in last}
    contents = {sha256(pair.high) for pair in last}
    shared = [pair for pair in early if pair.high.stat().st_size in sizes and sha256(pair.high) in contents]
    return [pair for pair in early if pair not in shared] if split == "train" else shared + last


def _natural(path: Path) -> tuple[int, str]:
    return (int(path.stem) if path.stem.isdigit() else -1, path.stem)


def _size(image: Picture) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
