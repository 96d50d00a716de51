#!/usr/bin/env python3
"""`python benchmarks/quality.py pdn --data FOLDER`: quality of the pictures that a deployed artifact makes.

FOLDER holds `low` and `high` with files of equal names (png, jpg, webp and others, also mixed), `pairs.csv` with the
columns low, high and split, or LOL as it is distributed (`our485` and `eval15`). Unless a split is named, that is `val` of
pairs.csv, `eval15` of LOL, and every pair of low and high.

`--photographs FOLDER` instead of `--data` measures on photographs that training did not see, darkened, well-lit, as films
and at several sizes; see `benchmarks.measures.photographs`.

The source is the name of a network, the path of an artifact, or a method without a network: `gamma` (1/2.2), `clahe`, or
`input`, the dark picture itself, which shows what doing nothing scores. Every measure is computed per picture, after the
artifact's own rounding to 8 bits, and averaged over the pictures; no output is ever corrected with the truth. The PSNR of an
output that equals its truth is infinite: `inf` in the table, null in a record.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

if __package__ in (None, ""):  # run as a script: its folder is on the path, the project's is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.harness import record, tables
from benchmarks.measures import lpips, photographs
from benchmarks.measures.plain_methods import METHODS
from benchmarks.measures.quality import MEASURES, checked
from benchmarks.pages import photographs as photographs_page
from benchmarks.pictures.nights import kept_photographs
from benchmarks.pictures.pairs import choose_split, find
from runtime import command_line
from runtime.artifact import CpuPrecision
from runtime.errors import InputError
from train.errors import DataError
from train.pairs import Pair, Picture, read_picture


@dataclass(frozen=True)
class Scored:
    """The measures of one picture, by name."""

    picture: str
    values: dict[str, float]


@dataclass(frozen=True)
class Summary:
    """A measure over all pictures."""

    mean: float
    worst: float
    #: Name of the picture that scored worst; the lowest where a measure says nothing alone.
    worst_picture: str


def measure(
    enhance: Callable[[Picture], Picture], pairs: Sequence[Pair], names: Sequence[str], tick: Iterable[Any] = ()
) -> list[Scored]:
    """Enhance the dark picture of every pair and compare with the bright one. `tick` is advanced once per picture."""
    ticks = iter(tick)
    results: list[Scored] = []
    for pair in pairs:
        assert pair.low is not None
        low, truth = read_picture(pair.low), read_picture(pair.high)
        if low.shape != truth.shape:
            raise DataError(f"{pair.low} and {pair.high} differ in size: {low.shape[:2]} and {truth.shape[:2]}")
        output = checked(enhance, low)
        results.append(Scored(pair.name, {name: MEASURES[name].compute(output, truth) for name in names}))
        next(ticks, None)
    return results


def summarise(results: Sequence[Scored]) -> dict[str, Summary]:
    """Mean and worst of every measure."""
    summary: dict[str, Summary] = {}
    for name in results[0].values:
        sign = -1 if MEASURES[name].higher_is_better is False else 1
        worst = min(results, key=lambda result: sign * result.values[name])
        mean = float(np.mean([result.values[name] for result in results]))
        summary[name] = Summary(mean, worst.values[name], worst.picture)
    return summary


def finite(value: Any) -> Any:
    """A copy with None in place of infinities and NaN, which JSON cannot hold."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def table(summary: dict[str, Summary]) -> str:
    """The means as text, one line per measure."""
    arrows = {True: "higher is better", False: "lower is better", None: ""}
    rows: list[list[str]] = []
    for name, found in summary.items():
        described = MEASURES[name]
        notes = "; ".join(filter(None, (described.unit, described.convention, arrows[described.higher_is_better])))
        rows.append([name, notes, f"{found.mean:.4f}", f"{found.worst:.4f}", found.worst_picture[:10]])
    return tables.text(["measure", "convention", "mean", "worst", "on"], rows, left=2)


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Entry point; returns the exit code."""
    return command_line.run(_run, _parser(), argv, "cpu,train,quality", prog)


def _run(arguments: argparse.Namespace) -> None:
    if arguments.photographs is None:
        _run_pairs(arguments)
    else:
        _run_photographs(arguments)


def _run_photographs(arguments: argparse.Namespace) -> None:
    from tqdm import tqdm

    pairs = kept_photographs(arguments.photographs, arguments.first)
    machine = record.environment()
    enhance, described = _open(arguments.source, arguments.backend, arguments.precision)
    bar = tqdm(pairs, desc=described["network"], unit="photographs", disable=not sys.stderr.isatty())
    outcome = finite(photographs.measure(enhance, [pair.high for pair in pairs], bar))
    bar.close()
    configuration = {**described, "photographs": arguments.photographs.name, "pictures": len(pairs)}
    found = record.make("photographs", configuration, outcome, machine)
    _deliver(found, "photographs", arguments, photographs_page.text({"": found}))


def _run_pairs(arguments: argparse.Namespace) -> None:
    from tqdm import tqdm

    split = choose_split(arguments.data, arguments.split)
    pairs = find(arguments.data, split)[: arguments.first]
    names = _chosen(arguments.measures)
    machine = record.environment()
    enhance, described = _open(arguments.source, arguments.backend, arguments.precision)
    bar = tqdm(pairs, desc=described["network"], unit="pictures", disable=not sys.stderr.isatty())
    results = measure(enhance, pairs, names, bar)
    bar.close()
    summary = summarise(results)
    configuration = {
        **described,
        "data": arguments.data.name,
        "split": split,
        "pictures": len(pairs),
        "conventions": {name: MEASURES[name].convention for name in names},
    }
    outcome = finite(
        {"summary": {name: asdict(each) for name, each in summary.items()}, "pictures": [asdict(each) for each in results]}
    )
    found = record.make("quality", configuration, outcome, machine)
    _deliver(found, "quality", arguments, table(summary), f"-{split}" if split else "")


def _deliver(found: record.Record, kind: str, arguments: argparse.Namespace, table: str, suffix: str = "") -> None:
    """Print what was found, and write its record if asked."""
    settings = found.configuration
    if arguments.record:
        precision = f"_{settings['precision']}" if settings.get("precision") in ("fp16", "bf16") else ""
        print(record.write(found, f"{kind}_{settings['network']}{precision}{suffix}"), file=sys.stderr)
    print(record.to_text(found) if arguments.json else table, end="" if arguments.json else "\n")


def _open(source: str, backend: str, precision: CpuPrecision | None) -> tuple[Callable[[Picture], Picture], dict[str, Any]]:
    """The function to score, and its description for the record."""
    if source in METHODS:
        return METHODS[source], {"network": source, "artifact": None}
    from runtime import Enhancer

    enhancer = Enhancer(source, backend=backend, precision=precision)
    info = enhancer.info
    if not info.trained:
        print(f"{info.network} is untrained: its figures say nothing", file=sys.stderr)
    described = {
        "network": info.network,
        "artifact": Path(source).name,
        "precision": enhancer.precision,
        "trained": info.trained,
        "weights_sha256": info.weights_sha256,
        "backend": str(enhancer.backend),
    }
    return enhancer, described


def _chosen(wanted: list[str] | None) -> list[str]:
    """The measures to compute; all that can be, if none was named."""
    if wanted is not None:
        unknown = [name for name in wanted if name not in MEASURES]
        if unknown:
            raise InputError(f"unknown measure {unknown[0]!r}; known: {', '.join(MEASURES)}")
        return wanted
    if lpips.weights_file() is None:
        print("without lpips: its weights, vgg/lpips_alex.npz, are not in the folder of RETINEXRT_DATA", file=sys.stderr)
        return [name for name in MEASURES if name != "lpips"]
    return list(MEASURES)


def _parser() -> command_line.Parser:
    parser = command_line.Parser(prog="python benchmarks/quality.py", description="Score the pictures that an artifact makes.")
    parser.add_argument("source", help=f"network, .onnx or .plan file, or a method: {', '.join(METHODS)}")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--data", type=Path, help="folder with low/ and high/, with pairs.csv, or LOL's")
    where.add_argument("--photographs", type=Path, metavar="DIR", help="folder of well-lit photographs, every 20th is used")
    parser.add_argument("--split", help="train, val, eval15 or all; default: val of pairs.csv, eval15 of LOL, else every pair")
    parser.add_argument("--measures", nargs="+", metavar="M", help=f"some of: {', '.join(MEASURES)} (default: all)")
    parser.add_argument("--first", type=int, metavar="N", help="only the first N pairs or photographs")
    parser.add_argument("--backend", default="auto", help="as `retinexrt doctor` names them (default: auto)")
    parser.add_argument("--precision", choices=("fp32", "bf16"), help="of convolutions on the CPU (default: the artifact's)")
    parser.add_argument("--json", action="store_true", help="the whole record on stdout instead of a table")
    parser.add_argument(
        "--record", action="store_true", help="also write benchmarks/results/quality_NETWORK*.json, or photographs_*"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
