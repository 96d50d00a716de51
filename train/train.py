#!/usr/bin/env python3
"""Train a network: python train/train.py NAME --data FOLDER."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in (None, ""):  # run as a script: its folder is on the path, the project's is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from runtime import command_line
from runtime.files import as_typed
from train.errors import DataError, TrainError, WeightsError

if TYPE_CHECKING:
    import torch

    from train.loop import Trainer
    from train.networks import NetworkSpec
    from train.pairs import Pair
    from train.recipes import Recipe


def _parser() -> command_line.Parser:
    parser = command_line.Parser(
        prog="python train/train.py", description="Train a network on pairs of dark and bright pictures."
    )
    parser.add_argument("name", help="network, e.g. pdn (an unknown name lists them all)")
    parser.add_argument("--data", type=Path, help="folder of pairs or of normal photographs; default: $RETINEXRT_DATA/LOL")
    parser.add_argument(
        "--photographs", type=Path, help="well-lit photographs to darken, where the recipe does; default: $RETINEXRT_DATA/clean"
    )
    parser.add_argument("--recipe", type=Path, help="TOML file; default: train/recipes/NAME.toml")
    parser.add_argument("--table", default="best", help="recipe within the file: best (default) or paper")
    parser.add_argument("--out", type=Path, help="folder of the run; default: runs/NAME")
    parser.add_argument("--device", default=None, help="cpu, cuda or cuda:N; default: cuda where there is one")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out, if there is one")
    parser.add_argument(
        "--init", type=Path, help="start from these weights (safetensors) as far as names agree; sri also takes msrnet's"
    )
    parser.add_argument("--seed", type=int, help="replaces the recipe's")
    parser.add_argument("--learning-rate", type=float, help="replaces the recipe's, e.g. to go on from --init more gently")
    parser.add_argument("--steps", type=int, help="scale the recipe's stages to this many steps in all")
    parser.add_argument(
        "--minutes", type=float, help="be done, weights and card too, so many minutes after the start; --resume goes on"
    )
    parser.add_argument("--fit-minutes", type=float, help="squeeze the whole schedule into so many minutes (not reproducible)")
    parser.add_argument("--validate-minutes", type=float, help="validate by the clock instead of by steps")
    parser.add_argument("--validate-nth", type=int, default=1, help="score every n-th validation picture until the end")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's choice")
    return parser


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of a command line."""
    return _parser().parse_args(argv)


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Entry point; returns the exit code."""
    started = time.monotonic()
    words = sys.argv[1:] if argv is None else argv
    typed = as_typed(["python", "train/train.py", *words])
    return command_line.run(lambda options: train(options, typed, started), _parser(), argv, "train", prog)


def train(options: argparse.Namespace, command: str, started: float) -> None:
    """Set a run up, run it, and leave its weights and card in its folder; `started` is when, by time.monotonic()."""
    from train.networks import get_spec

    spec = get_spec(options.name)  # Before torch is imported: a wrong name is answered at once.
    check_numbers(options)
    from tqdm import tqdm

    from train.card import read_card, write_card
    from train.loop import CHECKPOINT, Limits, Trainer
    from train.networks.weights import build_seeded
    from train.pairs import find_pairs

    recipe = choose_recipe(options)
    data = choose_data(options.data)
    out = options.out or Path("runs") / spec.name
    check_writable(out)
    device = choose_device(options.device, options.threads)
    choose_features(recipe, data)
    network = build_seeded(spec, recipe.seed, **build_keywords(recipe, data)).train()
    if options.init is not None:
        print(f"started from {start_from(network, spec, options.init)}")
    limits = Limits(options.minutes, options.fit_minutes, options.validate_minutes, options.validate_nth, started)
    photographs = choose_photographs(recipe, options.photographs)
    trainer = Trainer(
        spec, network, recipe, find_pairs(data, "train"), find_pairs(data, "val"), out, device, limits, photographs
    )
    if options.init is not None:
        trainer.started_from, trainer.earlier = options.init.name, read_card(options.init)
    if options.resume and (out / CHECKPOINT).is_file():
        trainer.resume()
        print(f"resumed at step {trainer.step}")
    print(
        f"{spec.name}: {len(trainer.train_store)} training and {len(trainer.val_store)} validation pairs, on {device}, "
        f"into {out}"
    )
    stop_on_interrupt(trainer)
    with tqdm(total=recipe.steps, initial=int(trainer.progress()), desc=spec.name, disable=not sys.stderr.isatty()) as bar:

        def tick(position: int, line: str) -> None:
            bar.set_postfix_str(line, refresh=False)
            bar.update(position - bar.n)

        trainer.run(lambda line: tqdm.write(line, file=sys.stdout) or sys.stdout.flush(), tick)
    write_card(trainer, options.table, data, command)


def check_numbers(options: argparse.Namespace) -> None:
    """Counts are at least 1, durations and rates more than 0."""
    for name in ("validate_nth", "steps", "threads"):
        if (value := getattr(options, name)) is not None and value < 1:
            raise TrainError(f"--{name.replace('_', '-')} {value}: expected 1 or more")
    for name in ("minutes", "fit_minutes", "validate_minutes", "learning_rate"):
        if (value := getattr(options, name)) is not None and not value > 0:
            raise TrainError(f"--{name.replace('_', '-')} {value}: expected more than 0")


def check_writable(folder: Path) -> None:
    """Make the folder of the run and write to it, before hours of work are to be kept there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise TrainError(f"cannot write to {folder}: {error.strerror}; choose another --out") from error


def choose_recipe(options: argparse.Namespace) -> Recipe:
    from train.recipes import load_recipe

    recipe = load_recipe(options.name, options.table, options.recipe)
    if options.seed is not None:
        recipe = replace(recipe, seed=options.seed)
    if options.learning_rate is not None:
        stages = tuple(replace(stage, learning_rate=None) for stage in recipe.stages)
        recipe = replace(recipe, learning_rate=options.learning_rate, stages=stages)
    if options.steps is not None:
        share = options.steps / recipe.steps
        recipe = replace(recipe, stages=tuple(replace(s, steps=max(1, round(s.steps * share))) for s in recipe.stages))
    return recipe


def choose_data(folder: Path | None) -> Path:
    if folder is not None:
        return folder
    return _data_root("data", "--data") / "LOL"


def _data_root(what: str, option: str) -> Path:
    root = os.environ.get("RETINEXRT_DATA")
    if not root:
        raise DataError(f"no {what}: pass {option} FOLDER or set RETINEXRT_DATA")
    return Path(root)


def choose_photographs(recipe: Recipe, folder: Path | None) -> tuple[list[Pair], list[Pair]] | None:
    """The photographs to darken and those kept from training, where a recipe has any."""
    if not any(recipe.of(stage).photographs for stage in recipe.stages):
        return None
    from train.pairs import find_photographs

    if folder is None:
        folder = _data_root("photographs", "--photographs") / "clean"
    return find_photographs(folder, "train"), find_photographs(folder, "val")


def choose_device(name: str | None, threads: int | None) -> torch.device:
    import torch

    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise TrainError(f"--device {name}: expected cpu, cuda or cuda:N")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise TrainError("no CUDA device was found; pass --device cpu, or install a CUDA build of torch and a driver")
        if (device.index or 0) >= torch.cuda.device_count():
            raise TrainError(f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices, counted from 0")
        # FP32 is FP32: what may be rounded runs in 16 bits, and TF32's 10 bits would show in scores, SSIM and DSN's encoder.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True
    if threads is not None:
        torch.set_num_threads(threads)
    return device


def build_keywords(recipe: Recipe, data: Path) -> dict[str, object]:
    """The recipe's build keywords; `vgg = "FILE"` is looked for beside the data and in $RETINEXRT_DATA."""
    keywords = dict(recipe.build)
    if isinstance(keywords.get("vgg"), str):
        from train.features import find_vgg

        keywords["vgg"] = find_vgg(data)
    return keywords


def choose_features(recipe: Recipe, data: Path) -> None:
    """Where a stage needs VGG features, find them now: a later stage may begin after hours."""
    if any(stage.loss.get("perceptual") for stage in recipe.stages):
        from train import features

        features.use(features.find_vgg(data))


def start_from(network: torch.nn.Module, spec: NetworkSpec, path: Path) -> str:
    """Copy every tensor whose name and shape agree, or write MSR-net in SRI's layers; say what was done."""
    from train.networks import get_spec, weights

    _, tensors, metadata = weights.read(path)
    if (metadata.get("network"), spec.weights) == ("msrnet", "sri"):
        from train.networks.sri_from_msrnet import graft

        graft(weights.load(get_spec("msrnet"), path).network, network)  # pyright: ignore[reportArgumentType]
        return f"{path} (MSR-net, written in SRI's layers)"
    own = network.state_dict()
    fitting = {
        name: value.to(own[name].dtype) for name, value in tensors.items() if name in own and own[name].shape == value.shape
    }
    if not fitting:
        raise WeightsError(f"{path} holds no tensor that fits; pass weights of a related network")
    network.load_state_dict(fitting, strict=False)
    return f"{path} ({len(fitting)} of {len(own)} tensors)"


def stop_on_interrupt(trainer: Trainer) -> None:
    """The first Ctrl-C ends the run after its step; the second one ends the process."""

    def stop(number: int, frame: object) -> None:
        trainer.request_stop()
        print("stopping after this step; --resume goes on from here", file=sys.stderr)
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


if __name__ == "__main__":
    sys.exit(main())
