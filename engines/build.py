"""Command line: build TensorRT plans, each with its manifest, from exported ONNX files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # run as a script: its folder is on the path, the project's is not
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from runtime import command_line, shapes
from runtime.artifact import locate, manifest, remedies
from runtime.errors import ArtifactError, InputError
from runtime.files import default_folder

_PROJECT = Path(__file__).resolve().parents[1]
DEFAULT_FOLDER = default_folder()


def _parser() -> command_line.Parser:
    parser = command_line.Parser(
        prog="python engines/build.py",
        description="Build TensorRT plans from exported networks, each with the manifest that it is loaded by.",
        epilog="A plan is executable code: build plans, or trust those who did. Another machine's plan: engines/trust.py.",
    )
    parser.add_argument("source", nargs="+", metavar="NAME|FILE.onnx", help="network, 'all', or an exported ONNX file")
    parser.add_argument(
        "--precision", choices=("fp16", "fp32"), help="which typed graph to build (default: fp16; of a file: its own)"
    )
    parser.add_argument(
        "--flavour", choices=("tensorrt", "tensorrt_rtx"), help="default: tensorrt with a GPU, else tensorrt_rtx"
    )
    parser.add_argument("--min", metavar="NxHxW", help="smallest input (default: 1x64x64)")
    parser.add_argument("--opt", metavar="NxHxW", help="the input to be fastest at (default: 1x400x600)")
    parser.add_argument("--max", metavar="NxHxW", help="largest input (default: 1x1088x1920)")
    parser.add_argument("--size", metavar="NxHxW", help="one size only, instead of the three above")
    parser.add_argument(
        "--sm", metavar="8.6,8.9", help="compute capabilities to build for (default: 8.0 to 12.1; tensorrt: the GPU's)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to write into (default: engines/; of a file: beside it)"
    )
    parser.add_argument(
        "--level", type=int, default=3, choices=range(6), help="0 builds fastest, 5 searches longest (default: 3)"
    )
    parser.add_argument("--workspace", type=float, metavar="GB", help="memory that a layer may use (default: TensorRT's)")
    parser.add_argument("--tf32", action="store_true", help="round FP32 convolutions' inputs to TF32 (default: full FP32)")
    parser.add_argument(
        "--version-compatible",
        action="store_true",
        help="tensorrt only: later versions and the lean runtime run the plan too; it can be slower",
    )
    parser.add_argument(
        "--timing-cache", type=Path, metavar="FILE", help="tensorrt only (default: one per GPU beside the plan)"
    )
    parser.add_argument("--device", type=int, default=0, metavar="N", help="GPU to build on (default: 0)")
    return parser


def find_onnx(source: str, precision: str | None) -> tuple[Path, Path]:
    """The ONNX file of a name or path, and the folder its plan is written to by default."""
    path = Path(source)
    if path.suffix == ".onnx":
        if not path.is_file():
            raise ArtifactError(f"{path} does not exist; export a network with: {remedies.export()}")
        return path, path.parent
    if path.suffix or len(path.parts) != 1:
        raise InputError(f"{source!r} is neither the name of a network nor an .onnx file")
    file_name = f"{source}.onnx" if precision == "fp32" else f"{source}_fp16.onnx"
    for folder in (DEFAULT_FOLDER, _PROJECT / "runtime" / "models"):
        if (folder / file_name).is_file():
            return folder / file_name, DEFAULT_FOLDER
    if locate.resembling(source):
        raise locate.absent(source)
    raise ArtifactError(f"{DEFAULT_FOLDER / file_name} does not exist; make it with: {remedies.export(source)}")


def _sources(names: list[str], precision: str | None) -> list[str]:
    if names != ["all"]:
        return names
    ending = ".onnx" if precision == "fp32" else "_fp16.onnx"
    found = sorted(path.name.removesuffix(ending) for path in DEFAULT_FOLDER.glob(f"*{ending}"))
    found = [name for name in found if precision != "fp32" or not name.endswith("_fp16")]
    if not found:
        raise ArtifactError(f"no exported networks in {DEFAULT_FOLDER}; make them with: {remedies.export('all')}")
    return found


def run(arguments: argparse.Namespace) -> None:
    from engines.builder import GIGABYTE, BuildOptions, build
    from engines.profiles import parse_shape

    if arguments.size and (arguments.min or arguments.opt or arguments.max):
        raise InputError("--size fixes all three shapes; leave --min, --opt and --max out")
    if arguments.workspace is not None and arguments.workspace <= 0:
        raise InputError(f"--workspace {arguments.workspace} is no amount of memory")
    wanted = [parse_shape(text) if text else None for text in (arguments.min, arguments.opt, arguments.max)]
    if arguments.size:
        wanted = [parse_shape(arguments.size)] * 3
    options = BuildOptions(
        precision=arguments.precision,
        flavour=arguments.flavour,
        smallest=wanted[0],
        typical=wanted[1],
        largest=wanted[2],
        sms=tuple(sm.strip() for sm in arguments.sm.split(",")) if arguments.sm else None,
        level=arguments.level,
        workspace_bytes=int(arguments.workspace * GIGABYTE) if arguments.workspace is not None else None,
        tf32=arguments.tf32,
        version_compatible=arguments.version_compatible,
        timing_cache=arguments.timing_cache,
        device=arguments.device,
    )
    for source in _sources(arguments.source, arguments.precision):
        onnx, folder = find_onnx(source, arguments.precision)
        built = build(onnx, arguments.out or folder, options)
        _report(built)


def _report(built: object) -> None:
    from engines.builder import BuiltPlan

    assert isinstance(built, BuiltPlan)
    plan = built.info.plan
    assert plan is not None
    profile = plan.profile
    print(f"{built.plan}  {plan.plan_bytes / 1e6:.2f} MB in {plan.build_seconds:.1f} s")
    print(f"  {plan.flavour} {plan.version} for {plan.gpu or 'compute capability'} {', '.join(plan.sms)}")
    print(f"  from {shapes.to_text(profile.min)} over {shapes.to_text(profile.opt)} to {shapes.to_text(profile.max)}")
    for check in built.checks:
        print(f"  {check}")
    if plan.parts is not None:
        names = (manifest.half_path(built.plan, half).name for half in manifest.HALVES)
        print(f"  for larger pictures: {', '.join(names)}")
    print(f"{built.manifest}")


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Entry point; returns the exit code."""
    return command_line.run(_run, _parser(), argv, "rtx", prog)


def _run(arguments: argparse.Namespace) -> int | None:
    try:
        run(arguments)
    except KeyboardInterrupt:
        print("interrupted; nothing was written for the plan in work", file=sys.stderr)
        return command_line.INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
