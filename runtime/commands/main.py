"""The command `retinexrt`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from runtime.artifact import remedies
from runtime.command_line import OK, USAGE, Parser, guarded, parser_of
from runtime.commands.completion import SHELLS
from runtime.errors import RetinexError
from runtime.media.film_options import add_film_arguments
from runtime.options import DEFAULT_NETWORK, FILM_NETWORK, add_call_arguments, add_open_arguments

#: Subcommands that have a module of their own, most of them in other packages.
_SCRIPTS = {
    "export": ("export.to_onnx", "a network becomes a self-describing ONNX file"),
    "contract": ("export.contract", "proof that an ONNX file keeps its Retinex steps"),
    "build": ("engines.build", "an ONNX file becomes a TensorRT plan with a manifest"),
    "trust": ("engines.trust", "the manifest of a plan that was made elsewhere"),
    "parity": ("benchmarks.parity", "proof that an artifact is still the same network"),
    "latency": ("benchmarks.latency", "how long an artifact takes"),
    "quality": ("benchmarks.quality", "how good its pictures are"),
    "train": ("train.train", "weights from pairs of dark and bright pictures"),
    "triton": ("runtime.triton.repository", "a model repository for Triton Inference Server"),
    "serve": ("runtime.commands.serve", "a page in the browser, and an HTTP API, that enhance pictures here"),
    "web": ("runtime.commands.web", "a static page that enhances pictures inside the browser"),
    "demo": ("benchmarks.showcase.demo", "one page about a network, with pictures before and after"),
}


def entry() -> int:
    """The console script: runs the command line, and returns its exit code."""
    logging.basicConfig(format="retinexrt: %(message)s")  # Warnings, on stderr.
    return main(sys.argv[1:])


def main(argv: Sequence[str]) -> int:
    """Run one command. 0: done; 1: some inputs failed; 2: the command could not run; 130: interrupted."""
    if argv and argv[0] in _SCRIPTS:
        return guarded(lambda: _script(argv[0], argv[1:]), "dev")
    return guarded(lambda: _command([_as_path(word) for word in argv]), "cpu")


def _command(words: Sequence[str]) -> int:
    """Parse and run a subcommand of this module's own."""
    arguments = _parser().parse_args(words)
    if arguments.cmake_dir:
        sys.stdout.write(f"{Path(__file__).resolve().parents[1] / 'cpp' / 'cmake'}\n")
        return OK
    if arguments.command is None:
        _parser().print_help()
        return USAGE
    return int(arguments.run(arguments))


def _script(name: str, argv: Sequence[str]) -> int:
    """Hand a subcommand to the module that brings it."""
    module = _SCRIPTS[name][0]
    try:
        script = import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise
        raise RetinexError(f"{name} is not in this package; install it with: {remedies.install_tools()}") from None
    return int(script.main(argv, f"retinexrt {name}"))


def _as_path(word: str) -> str:
    """A file whose name begins with a dash is a file and no option. No option has an ending."""
    return f"./{word}" if word.startswith("-") and Path(word).suffix and Path(word).exists() else word


def _parser() -> argparse.ArgumentParser:
    from runtime import __version__

    parser = Parser(prog="retinexrt", description="Bright and clean pictures from dark ones.")
    parser.add_argument("--version", action="version", version=f"retinexrt {__version__}")
    parser.add_argument("--cmake-dir", action="store_true", help="print the folder of the CMake package for C++, and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _add_enhance(commands.add_parser("enhance", help="enhance pictures, folders and videos"))
    networks = commands.add_parser("networks", help="the networks that can be used here")
    networks.set_defaults(run=_networks)
    doctor = commands.add_parser("doctor", help="what was found, what is used and why, and what to install next")
    doctor.add_argument(
        "source", nargs="?", default=DEFAULT_NETWORK, help="network or artifact that is to run (default: %(default)s)"
    )
    doctor.set_defaults(run=_doctor)
    completion = commands.add_parser(
        "completion",
        help="a script for tab completion in bash, zsh or fish",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="to use it always, once, and again for new networks:\n" + "\n".join(f"  {line}" for line in SHELLS.values()),
    )
    completion.add_argument("shell", choices=tuple(SHELLS), help="whose syntax it is in")
    completion.set_defaults(run=_completion)
    for name, (_, text) in _SCRIPTS.items():
        commands.add_parser(name, help=text, add_help=False)
    return parser


def _add_enhance(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs", nargs="*", metavar="INPUT", help="pictures, videos, folders, - for stdin, or one rtsp://... or camera:0"
    )
    parser.add_argument("-o", "--out", metavar="OUT", help="folder, or a file or a URL for a single input; - is stdout")
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--network", help=f"name of a network (default: {DEFAULT_NETWORK}; {FILM_NETWORK} where nothing but films is given)"
    )
    source.add_argument("--engine", metavar="FILE", help="an artifact: .onnx or .plan")
    add_open_arguments(parser)
    add_call_arguments(parser)
    add_film_arguments(parser)
    parser.add_argument("--show", action="store_true", help="of one film or live source: show it in a window")
    parser.add_argument("--every-frame", action="store_true", help="of live sources: drop none, let the source wait")
    parser.add_argument(
        "--patience", type=float, metavar="S", help="of live sources: give up when nothing came for so long (default: never)"
    )
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
    # The summary names a file's fault once; OpenCV and its ffmpeg would print it too.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    if arguments.network is None:
        arguments.network = FILM_NETWORK if _films_alone(arguments) else DEFAULT_NETWORK
    if arguments.ray is not None:
        if _is_live(arguments):
            raise RetinexError("a live source cannot be shared out: leave --ray")
        from runtime.ray_cluster import command

        return command.run(arguments)
    if arguments.workers is not None or arguments.gpus_per_worker is not None:
        raise RetinexError("--workers and --gpus-per-worker go with --ray")
    if _is_live(arguments):
        from runtime.commands import live

        return live.run(arguments)
    from runtime.commands import enhance

    return enhance.run(arguments)


def _films_alone(arguments: argparse.Namespace) -> bool:
    """Whether all that a command line gives moves: films, cameras, streams, raw frames."""
    from runtime.media.formats import is_film, is_film_name

    if arguments.raw or _is_live(arguments):
        return True
    if arguments.inputs in ([], ["-"]):
        return arguments.out is not None and is_film_name(Path(arguments.out))
    return all(is_film(Path(each)) for each in arguments.inputs)


def _is_live(arguments: argparse.Namespace) -> bool:
    """Whether a command line reads from a camera, a stream or a pipe, sends to a network, or shows a window."""
    from runtime.media.live.address import is_live

    to_network = arguments.out is not None and "://" in arguments.out
    found = arguments.show or to_network or any(is_live(text) for text in arguments.inputs)
    if not found and (arguments.every_frame or arguments.patience is not None):
        raise RetinexError("--every-frame and --patience are for cameras and streams, as rtsp://HOST/PATH or camera:0")
    return found


def _completion(arguments: argparse.Namespace) -> int:
    from runtime.commands import completion

    sys.stdout.write(completion.script(arguments.shell, _commands()))
    return OK


def _commands() -> dict[str, tuple[str, argparse.ArgumentParser | None]]:
    """Each command's purpose and its parser; None: it is not installed."""
    found: dict[str, tuple[str, argparse.ArgumentParser | None]] = {}
    parsers: Any = next(each for each in vars(_parser())["_actions"] if each.dest == "command")
    for each in vars(parsers)["_choices_actions"]:
        found[each.dest] = (each.help, parsers.choices[each.dest])
    for name, (module, text) in _SCRIPTS.items():
        try:
            found[name] = (text, parser_of(import_module(module).main))
        except ImportError:
            found[name] = (text, None)
    return found


def _networks(arguments: argparse.Namespace) -> int:
    from runtime.commands import doctor

    doctor.show(doctor.networks())
    return OK


def _doctor(arguments: argparse.Namespace) -> int:
    from runtime.commands import doctor

    lines, usable = doctor.diagnosis(arguments.source)
    doctor.show(lines)
    return OK if usable else USAGE
