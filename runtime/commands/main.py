"""The command `retinexrt`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from runtime.artifact import remedies
from runtime.errors import RetinexError
from runtime.options import add_call_arguments, add_open_arguments

#: Subcommands that have a module of their own, most of them in other packages, and the extra that installs what they need.
_SCRIPTS = {
    "export": ("export.to_onnx", "export", "a network becomes a self-describing ONNX file"),
    "build": ("engines.build", "rtx", "an ONNX file becomes a TensorRT plan with a manifest"),
    "train": ("train.train", "train", "weights from pairs of dark and bright pictures"),
    "parity": ("benchmarks.parity", "dev", "proof that an artifact is still the same network"),
    "latency": ("benchmarks.latency", "dev", "how long an artifact takes"),
    "quality": ("benchmarks.quality", "quality", "how good its pictures are"),
    "triton": ("runtime.triton.repository", "cpu", "a model repository for Triton Inference Server"),
}

OK, SOME_FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def entry() -> int:
    """The console script: runs the command line, and returns its exit code."""
    logging.basicConfig(format="retinexrt: %(message)s")  # Warnings, on stderr.
    return main(sys.argv[1:])


def main(argv: Sequence[str]) -> int:
    """Run one command. 0: done; 1: some inputs failed; 2: the command could not run; 130: interrupted."""
    if argv and argv[0] in _SCRIPTS:
        return _guarded(lambda: _dispatch(argv[0], list(argv[1:])))
    arguments, unknown = _parser().parse_known_args([_as_path(word) for word in argv])
    if unknown:
        command = f"retinexrt {arguments.command}" if arguments.command else "retinexrt"
        sys.stderr.write(f"retinexrt: {command} knows no {unknown[0]}; see: {command} --help\n")
        return USAGE
    if arguments.cmake_dir:
        sys.stdout.write(f"{Path(__file__).resolve().parents[1] / 'cpp' / 'cmake'}\n")
        return OK
    if arguments.command is None:
        _parser().print_help()
        return USAGE
    return _guarded(lambda: arguments.run(arguments))


def _guarded(command: Callable[[], int]) -> int:
    """Turn the project's errors into one line on stderr."""
    try:
        return command()
    except RetinexError as error:
        sys.stderr.write(f"retinexrt: {error}\n")
        return USAGE
    except BrokenPipeError:
        # Whoever read stdout has left; there is nobody to tell.
        sys.stdout = None
        return SOME_FAILED
    except KeyboardInterrupt:
        sys.stderr.write("retinexrt: interrupted\n")
        return INTERRUPTED


def _dispatch(name: str, argv: list[str]) -> int:
    """Hand a subcommand to the package that brings it."""
    from importlib import import_module

    module, extra, _ = _SCRIPTS[name]
    try:
        script = import_module(module)
    except ImportError as error:
        raise RetinexError(f"{name} needs more than is installed ({error}); {remedies.install(extra)}") from error
    return int(script.main(argv))


def _as_path(word: str) -> str:
    """A file whose name begins with a dash is a file and no option. No option has an ending."""
    return f"./{word}" if word.startswith("-") and Path(word).suffix and Path(word).exists() else word


def _parser() -> argparse.ArgumentParser:
    from runtime import __version__

    parser = argparse.ArgumentParser(prog="retinexrt", description="Bright and clean pictures from dark ones.")
    parser.add_argument("--version", action="version", version=f"retinexrt {__version__}")
    parser.add_argument("--cmake-dir", action="store_true", help="print the folder of the CMake package for C++, and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_enhance(commands.add_parser("enhance", help="enhance pictures, folders and videos"))
    networks = commands.add_parser("networks", help="the networks that can be used here")
    networks.set_defaults(run=_networks)
    doctor = commands.add_parser("doctor", help="what was found, what is used and why, and what to install next")
    doctor.add_argument("source", nargs="?", default="pdn", help="network or artifact that is to run (default: pdn)")
    doctor.set_defaults(run=_doctor)
    for name, (_, _, text) in _SCRIPTS.items():
        commands.add_parser(name, help=text, add_help=False)
    return parser


def _add_enhance(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help="pictures, videos, folders, or - for stdin")
    parser.add_argument("-o", "--out", metavar="OUT", help="folder, or a file for a single input; - is stdout")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--network", default="pdn", help="name of a network (default: %(default)s)")
    source.add_argument("--engine", metavar="FILE", help="an artifact: .onnx or .plan")
    add_open_arguments(parser)
    add_call_arguments(parser)
    parser.add_argument("--raw", metavar="WxH", help="stdin is a stream of raw RGB frames of this size, and so is stdout")
    parser.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="on a Ray cluster: HOST:PORT, auto, local (default: any that runs)",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="with --ray: how many (default: all that the cluster holds)")
    parser.add_argument("--gpus-per-worker", type=float, metavar="F", help="with --ray: a share of a GPU, or several")
    parser.add_argument("--segment", type=int, default=64, metavar="N", help="with --ray: frames of a film's segments")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress and no summary, only what failed")
    parser.set_defaults(run=_enhance)


def _enhance(arguments: argparse.Namespace) -> int:
    import os

    # What OpenCV and its ffmpeg find wrong with a file is said once, by the summary.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if arguments.ray is not None:
        from runtime.ray_cluster import command

        return command.run(arguments)
    if arguments.workers is not None or arguments.gpus_per_worker is not None:
        raise RetinexError("--workers and --gpus-per-worker go with --ray")
    from runtime.commands import enhance

    return enhance.run(arguments)


def _networks(arguments: argparse.Namespace) -> int:
    from runtime.commands import doctor

    doctor.show(doctor.networks())
    return OK


def _doctor(arguments: argparse.Namespace) -> int:
    from runtime.commands import doctor

    doctor.show(doctor.diagnosis(arguments.source))
    return OK
