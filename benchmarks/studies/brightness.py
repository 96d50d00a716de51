"""Ablation of three remedies for wrong overall brightness: exposure head, exposure augmentation, levelled targets.

The fast PDN is trained from scratch with and without its global exposure head, and each with dark pictures as they are,
at other exposures, and with truths drawn to the usual brightness beside that: as many steps, the same seed, all else
alike. What is finished in --out is not trained again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.harness import record
from benchmarks.harness.command import parse_count
from benchmarks.harness.marks import insert
from runtime.errors import RetinexError
from train.errors import TrainError

if TYPE_CHECKING:
    import torch

    from train.loop import Trainer
    from train.validation import Scores

NAME = "ablation"
PAGE = record.RESULTS.with_name("NOTES.md")
NETWORKS = {"pdn-fast": "none", "pdn-global-fast": "yes"}


@dataclass(frozen=True)
class Means:
    """What is done about brightness in training."""

    exposure: tuple[float, float]
    level: float


MEANS = (Means((1.0, 1.0), 0.0), Means((0.5, 2.0), 0.0), Means((0.5, 2.0), 1.0))


@dataclass(frozen=True)
class Brightness:
    """Of the mean levels of the validation pictures, in natural logarithms."""

    #: How much of a difference of the input's is left in the output's: the slope of a straight line through them.
    follows: float
    #: Standard deviation of the output's over the truth's.
    off: float


@dataclass(frozen=True)
class Row:
    """One training and its scores on the validation scenes, with the weights at the end."""

    network: str
    means: Means
    scores: Scores
    brightness: Brightness


def measure(data: Path, out: Path, steps: int, device: torch.device) -> list[Row]:
    """Train every network with every means."""
    rows: list[Row] = []
    for network in NETWORKS:
        for means in MEANS:
            low, high = means.exposure
            folder = out / f"{network}-{low:g}-{high:g}-{means.level:g}"
            trainer = train(network, means, data, folder, steps, device)
            assert trainer.best is not None  # a run ends with a validation, and this one has no other
            rows.append(Row(network, means, trainer.best, brightness(trainer)))
            print(f"{folder.name}: {rows[-1].scores}, {rows[-1].brightness}", flush=True)
    return rows


def train(network: str, means: Means, data: Path, folder: Path, steps: int, device: torch.device) -> Trainer:
    """A run that has come to its end, now or earlier."""
    from train.loop import CHECKPOINT, Limits, Trainer
    from train.networks import get_spec
    from train.networks.weights import build_seeded
    from train.pairs import find_pairs
    from train.recipes import load_recipe

    spec, recipe = get_spec(network), load_recipe(network)
    stages = tuple(replace(stage, steps=steps) for stage in recipe.stages)
    recipe = replace(recipe, stages=stages, exposure=means.exposure, level=means.level, validate_every=steps + 1)
    folder.mkdir(parents=True, exist_ok=True)
    built = build_seeded(spec, recipe.seed).train()
    trainer = Trainer(spec, built, recipe, find_pairs(data, "train"), find_pairs(data, "val"), folder, device, Limits())
    if (folder / CHECKPOINT).is_file():
        trainer.resume()
    if trainer.best is None:
        trainer.run()
    return trainer


def brightness(trainer: Trainer) -> Brightness:
    """How bright the outputs are, against the inputs and against the truths."""
    import torch

    from train.validation import run_padded, to_tensor, validation_pair

    network, store = trainer.best_network().eval(), trainer.val_store
    levels: list[tuple[float, float, float]] = []
    with torch.inference_mode(), trainer.autocast():
        for index in range(len(store)):
            low, high = validation_pair(store, index)
            output = run_padded(network, to_tensor(low, trainer.device), trainer.spec.multiple)
            levels.append((float(low.mean()) / 255, float(output.mean()), float(high.mean()) / 255))
    dark, out, truth = np.log(np.maximum(levels, 1e-4)).T
    slope = np.cov(dark, out)[0, 1] / max(np.var(dark, ddof=1), 1e-12) if len(store) > 1 else 0.0
    return Brightness(float(slope), float(np.std(out - truth)))


def figures(found: record.Record) -> str:
    """The table of NOTES.md."""
    lines = [
        "|head|dark pictures times|truth levelled|PSNR|SSIM|PSNR at equal means|follows|off|",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in found.results:
        scores, levels = row["scores"], row["brightness"]
        lines.append(
            f"|{NETWORKS[row['network']]}|{_times(row['means'])}|{'yes' if row['means']['level'] else 'no'}"
            f"|{scores['psnr']:.2f}|{scores['ssim']:.3f}|{scores['psnr_equal_mean']:.2f}"
            f"|{levels['follows']:.2f}|{levels['off']:.2f}|"
        )
    how = found.configuration
    lines.append(
        "\n*Follows*: how much of a difference between the inputs' mean levels, as logarithms, is left between the outputs'; "
        "*off*: by how much the outputs' are off the truths', as a standard deviation.\n"
        f"`pdn-fast` and `pdn-global-fast`, each trained from scratch for {how['steps']} steps by `{found.command}`; "
        f"on LOL's {found.results[0]['scores']['pictures']} validation pictures, in {how['precision']}."
    )
    return "\n".join(lines)


def _times(means: Mapping[str, Any]) -> str:
    low, high = means["exposure"]
    return "1" if low == high else f"{low:g} to {high:g}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="ablation.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of pairs")
    parser.add_argument("--steps", type=parse_count, default=500, help="of each training (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("out") / NAME, metavar="DIR", help="default: %(default)s")
    parser.add_argument("--device", help="cpu, cuda or cuda:N; default: cuda where there is one")
    parser.add_argument("--threads", type=parse_count, help="CPU threads; default: torch's choice")
    parser.add_argument("--record", action="store_true", help="write benchmarks/results/ablation.json and NOTES.md")
    arguments = parser.parse_args(argv)
    try:
        return _measure_and_tell(arguments)
    except (RetinexError, TrainError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except ImportError as error:
        print(f"{error.name} is missing; install it with: pip install 'retinexrt[train]'", file=sys.stderr)
        return 2


def _measure_and_tell(arguments: argparse.Namespace) -> int:
    from train.loop import mixed_type
    from train.train import choose_device

    device = choose_device(arguments.device, arguments.threads)
    machine = record.environment()
    rows = measure(arguments.data, arguments.out, arguments.steps, device)
    mixed = device.type == "cpu" and mixed_type(device) is not None  # as validation does it
    configuration = {
        "data": arguments.data.name,
        "steps": arguments.steps,
        "device": device.type,
        "precision": "bfloat16" if mixed else "FP32",
    }
    found = record.make(NAME, configuration, rows, machine)
    print(figures(found))
    if arguments.record:
        print(record.write(found, NAME).name, file=sys.stderr)
        insert(PAGE, NAME, figures(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
