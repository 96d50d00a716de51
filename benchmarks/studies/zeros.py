#!/usr/bin/env python3
"""`python -m benchmarks.studies.zeros --data DIR --record`: what it costs that a division leaves black values black.

A dark picture of 8 bits holds many zeros, and zero divided by an illumination is zero. Networks that subtract noise after
the division, or do not divide, can fill them. Their output is scored as it is, and once more with every value set to zero
that is zero in the dark picture: the best that a network of division alone could make of the same brightness and detail.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.harness import record
from benchmarks.harness.marks import insert
from benchmarks.measures.quality import Picture
from runtime.errors import RetinexError
from train.errors import TrainError
from train.pairs import Pair, read_picture

NAME = "black"
PAGE = record.RESULTS.with_name("NOTES.md")
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


def measure(network: str, enhance: Callable[[Picture], Picture], pairs: Sequence[Pair]) -> Row:
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


def figures(found: record.Record) -> str:
    """The table of NOTES.md."""
    lines = ["|network|PSNR|black kept|at equal means|black kept|", "|---|---:|---:|---:|---:|"]
    lines += [
        f"|{row['network']}|{row['psnr']:.2f}|{row['psnr_black']:.2f}|{row['equal_mean']:.2f}|{row['equal_mean_black']:.2f}|"
        for row in found.results
    ]
    first = found.results[0]
    lines.append(
        f"\nLOL's {first['pictures']} validation pictures; {first['share']:.1%} of their dark values are zero. "
        f"Measured by `{found.command}`."
    )
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="black.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"networks or files; default: {' '.join(NETWORKS)}")
    parser.add_argument("--data", type=Path, required=True, help="folder of pairs")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/black.json and NOTES.md")
    arguments = parser.parse_args(argv)
    try:
        return _measure_and_tell(arguments)
    except (RetinexError, TrainError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except ImportError as error:
        print(f"{error.name} is missing; install it with: pip install 'retinexrt[cpu,train]'", file=sys.stderr)
        return 2


def _measure_and_tell(arguments: argparse.Namespace) -> int:
    from benchmarks.quality import choose_split, find
    from runtime import Enhancer

    machine = record.environment()
    pairs = find(arguments.data, choose_split(arguments.data, None))
    rows: list[Row] = []
    for network in arguments.networks or NETWORKS:
        with Enhancer(network) as enhancer:
            rows.append(measure(network, enhancer, pairs))
    found = record.make(NAME, {"data": arguments.data.name}, rows, machine)
    print(figures(found))
    if arguments.record:
        print(record.write(found, NAME).name, file=sys.stderr)
        insert(PAGE, NAME, figures(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
