"""PSNR lost because zero-valued inputs stay zero after a division.

A dark picture of 8 bits holds many zeros, and zero divided by an illumination is zero. Networks that subtract noise after
the division, or do not divide, can fill them. Each output is scored as it came, and again with every value set to zero that
is zero in the dark picture: the best that a network of division alone could make of the same brightness and detail.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.record import RESULTS, Record
from benchmarks.harness.tables import markdown
from benchmarks.measures.quality import Picture
from benchmarks.pictures.pairs import choose_split, find
from benchmarks.studies.study import Study
from train.pairs import Pair, read_picture

NETWORKS = ("msrnet", "pdn", "pdn-global", "sri")


@dataclass(frozen=True)
class Row:
    """Mean scores of one network, in dB: of its output, and with black kept black."""

    network: str
    psnr: float
    psnr_black: float
    #: With the output's mean level multiplied to the truth's.
    equal_mean: float
    equal_mean_black: float
    #: Share of the dark pictures' values that are zero.
    share: float
    pictures: int


def score_both(network: str, enhance: Callable[[Picture], Picture], pairs: Sequence[Pair]) -> Row:
    """Score every pair both ways."""
    import torch

    from train.validation import score, to_tensor

    cpu = torch.device("cpu")
    rows: list[tuple[float, float, float, float, float]] = []
    for pair in pairs:
        assert pair.low is not None
        low, truth = read_picture(pair.low), to_tensor(read_picture(pair.high), cpu)
        output = enhance(low)
        free, _, free_levelled = score(to_tensor(output, cpu), truth)
        kept, _, kept_levelled = score(to_tensor(np.where(low == 0, np.uint8(0), output), cpu), truth)
        rows.append((free, kept, free_levelled, kept_levelled, float(np.mean(low == 0))))
    free, kept, free_levelled, kept_levelled, share = np.mean(rows, axis=0).tolist()
    return Row(network, free, kept, free_levelled, kept_levelled, share, len(rows))


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"networks or files; default: {' '.join(NETWORKS)}")
    parser.add_argument("--data", type=Path, required=True, help="folder of pairs")


def _measure(arguments: argparse.Namespace) -> tuple[dict[str, Any], list[Row]]:
    from runtime import Enhancer

    pairs = find(arguments.data, choose_split(arguments.data, None))
    rows: list[Row] = []
    for network in arguments.networks or NETWORKS:
        with Enhancer(network) as enhancer:
            rows.append(score_both(network, enhancer, pairs))
    return {"data": arguments.data.name}, rows


def figures(found: Record) -> str:
    """The table of NOTES.md."""
    scores = ("psnr", "psnr_black", "equal_mean", "equal_mean_black")
    rows = [[row["network"], *(f"{row[name]:.2f}" for name in scores)] for row in found.results]
    first = found.results[0]
    return (
        markdown(["network", "PSNR", "black kept", "at equal means", "black kept"], rows)
        + f"\nLOL's {first['pictures']} validation pictures; {first['share']:.1%} of their dark values are zero. "
        + f"Measured by `{found.command}`."
    )


STUDY = Study("zeros", RESULTS.with_name("NOTES.md"), __doc__, _arguments, _measure, figures, "cpu,train")

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
