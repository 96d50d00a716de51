"""Pairs of a dark and a bright picture that benchmarks score on, by split."""

from __future__ import annotations

from pathlib import Path

from train.errors import DataError
from train.pairs import Pair, find_pairs, listed_pairs, match_names


def choose_split(folder: Path, wanted: str | None) -> str | None:
    """The split that is scored; None: every pair of the folders low and high."""
    if wanted is not None:
        return wanted
    if (folder / "pairs.csv").is_file():
        return "val"
    return "eval15" if (folder / "eval15").is_dir() else None


def find(folder: Path, split: str | None) -> list[Pair]:
    """The pairs of a folder: those of one split, or all if it is "all" or None.

    "train" and "val" are as `train.pairs` divides the folder, "eval15" are LOL's test pictures.
    """
    if (folder / "pairs.csv").is_file():
        pairs = listed_pairs(folder, None if split == "all" else split)
    elif split == "eval15":
        pairs = match_names(folder / "eval15" / "low", folder / "eval15" / "high")
    elif split in ("train", "val"):
        pairs = [pair for pair in find_pairs(folder, split) if pair.low is not None]
    elif split not in (None, "all"):
        raise DataError(f"{folder} has no split {split!r}; expected train, val, all, or eval15 of LOL")
    elif (folder / "low").is_dir() and (folder / "high").is_dir():
        pairs = match_names(folder / "low", folder / "high")
    elif (folder / "our485").is_dir() or (folder / "eval15").is_dir():
        parts = [folder / name for name in ("our485", "eval15") if (folder / name).is_dir()]
        pairs = [pair for part in parts for pair in match_names(part / "low", part / "high")]
    else:
        raise DataError(f"{folder} holds neither pairs.csv, nor the folders low and high, nor our485 and eval15")
    if not pairs:
        raise DataError(f"{folder} holds no pair" + (f" of the split {split!r}" if split else ""))
    return pairs
