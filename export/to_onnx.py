"""Command line: export networks to NAME.onnx and NAME_fp16.onnx."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # run as a script: its folder is on the path, the project's is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from export.exporter import DEFAULT_OPSET, Export, Options, export_network, note_in_card, write
from runtime import command_line
from runtime.artifact import remedies
from runtime.errors import InputError
from runtime.files import default_folder
from runtime.shapes import parse
from train.networks.registry import NETWORKS, get_spec


def _size(text: str) -> tuple[int, int]:
    size = parse(text, 2)
    if size is None:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH, for example 400x600, not {text!r}")
    return size[0], size[1]


def _parser() -> command_line.Parser:
    parser = command_line.Parser(
        prog="python export/to_onnx.py",
        description="Export networks to ONNX, FP32 and typed FP16, with their Retinex steps kept as graph ops.",
        epilog=f"networks: {', '.join(NETWORKS)}",
    )
    parser.add_argument("networks", nargs="+", metavar="NAME|all")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write into (default: engines/)")
    parser.add_argument("--size", type=_size, metavar="HxW", help="fix the height and width (default: any from 16 up)")
    parser.add_argument("--tensor-io", action="store_true", help="float32 N x 3 x H x W in [0, 1] instead of uint8 images")
    parser.add_argument("--opset", type=int, default=DEFAULT_OPSET, help="ONNX opset (default: %(default)s)")
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="weights to export (default: train/weights/NAME.safetensors)"
    )
    parser.add_argument("--card", action="store_true", help="note the hashes of the files in the card beside the weights")
    return parser


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Entry point; returns the exit code."""
    return command_line.run(_run, _parser(), argv, "export", prog)


def _run(arguments: argparse.Namespace) -> None:
    options = Options(arguments.size, arguments.tensor_io, arguments.opset, arguments.weights)
    names: list[str] = list(NETWORKS) if "all" in arguments.networks else arguments.networks
    for name in names:
        get_spec(name)
    if arguments.card and (options.size or options.tensor_io):
        raise InputError("--card is of the files for any picture; leave out --size and --tensor-io")
    for name in names:
        started = time.perf_counter()
        exports = export_network(name, options)
        paths = write(exports, arguments.out or default_folder())
        if arguments.card:
            note_in_card(exports, paths, options.weights)
        _report(exports, paths, time.perf_counter() - started)


def _report(exports: tuple[Export, Export], paths: list[Path], seconds: float) -> None:
    for export, path in zip(exports, paths, strict=True):
        print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")
        for line in export.verified:
            print(f"  {line}")
    info = exports[0].info
    if not info.trained:
        command = remedies.train(get_spec(info.network).weights or info.network)
        print(f"  UNTRAINED: {info.network} has a seeded initialisation; train it with: {command}")
    print(f"  {seconds:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
